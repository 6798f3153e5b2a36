from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0012_compliance_policy'),
    ]

    operations = [
        migrations.AddField(
            model_name='token',
            name='at_once',
            field=models.PositiveIntegerField(db_default=64, default=64),
        ),
        migrations.AddField(
            model_name='token',
            name='per_second',
            field=models.PositiveIntegerField(db_default=200, default=200),
        ),
        migrations.AddField(
            model_name='token',
            name='tokens_per_minute',
            field=models.PositiveIntegerField(db_default=1000000, default=1000000),
        ),
    ]
