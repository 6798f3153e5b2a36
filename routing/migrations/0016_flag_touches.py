from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from routing.audit import guards


def install(apps: Any, schema_editor: Any) -> None:
    guards.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("routing", "0015_cost")]

    operations = [
        migrations.AddField(
            model_name="flagset",
            name="explained",
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="flagset",
            name="noted",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="FlagTouch",
            fields=[
                (
                    "environment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="routing.environment",
                    ),
                ),
                ("touched", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
