from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0002_audit_guards")]

    operations = [
        migrations.CreateModel(
            name="SignInDelay",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField()),
                ("last_at", models.DateTimeField(db_index=True)),
            ],
        ),
    ]
