import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0019_approvals'),
    ]

    operations = [
        migrations.CreateModel(
            name='FlagUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('flag', models.CharField(max_length=100)),
                ('evaluated_at', models.DateTimeField()),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='routing.environment')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('environment', 'flag'), name='one_use_per_env')],
            },
        ),
    ]
