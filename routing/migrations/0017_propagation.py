from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0016_flag_touches'),
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
