//! PostgreSQL: read migrations, expand, backfill, evidence, purge.
