from typing import Any

from django.db import migrations, models

from routing.audit import guards


def install(apps: Any, schema_editor: Any) -> None:
    guards.install(schema_editor.connection)


def lift(apps: Any, schema_editor: Any) -> None:
    guards.lift(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="DenialCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("actor", models.CharField(max_length=300)),
                ("minute", models.DateTimeField()),
                ("booked", models.PositiveIntegerField(default=0)),
                ("suppressed", models.PositiveIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("actor", "minute"), name="one_count_per_minute"
                    )
                ],
            },
        ),
        migrations.RunPython(install, lift),
    ]
