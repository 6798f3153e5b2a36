import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0010_matrix_drafts_overrides'),
    ]

    operations = [
        migrations.CreateModel(
            name='ToolPin',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('target', models.CharField(max_length=400)),
                ('tool', models.CharField(max_length=128)),
                ('digest', models.CharField(max_length=64)),
                ('tools', models.TextField()),
                ('contract', models.TextField()),
                ('pinned_at', models.DateTimeField()),
                ('pinned_by', models.CharField(max_length=300)),
                ('reason', models.CharField(blank=True, default='', max_length=500)),
                ('seen_digest', models.CharField(max_length=64)),
                ('seen_tools', models.TextField()),
                ('seen_contract', models.TextField()),
                ('seen_count', models.PositiveIntegerField(default=1)),
                ('seen_at', models.DateTimeField()),
                ('drift', models.CharField(default='none', max_length=8)),
                ('version', models.PositiveBigIntegerField(default=1)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='routing.environment')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('environment', 'target', 'tool'), name='one_pin_a_tool'), models.CheckConstraint(condition=models.Q(('drift__in', ['none', 'others', 'tool'])), name='tool_pin_drift_known')],
            },
        ),
    ]
