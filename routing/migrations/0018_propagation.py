from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0014_token_access_keys'),
    ]

    operations = [
        migrations.AddField(
            model_name='flagset',
            name='changed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='process',
            name='since',
            field=models.JSONField(default=dict),
        ),
    ]
