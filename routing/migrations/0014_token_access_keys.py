from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0013_token_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='token',
            name='access_key_id',
            field=models.CharField(max_length=32, null=True, unique=True),
        ),
        migrations.AddField(
            model_name='token',
            name='generation',
            field=models.PositiveIntegerField(default=0),
        ),
    ]
