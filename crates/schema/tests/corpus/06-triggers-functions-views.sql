--= expand | additive | SHARE ROW EXCLUSIVE on public.orders | catalog only |
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();

--= expand | additive | SHARE ROW EXCLUSIVE on public.orders | catalog only |
CREATE CONSTRAINT TRIGGER orders_touch AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch();

--= expand | additive | SHARE ROW EXCLUSIVE on public.customers | catalog only | MIGR119!
CREATE OR REPLACE TRIGGER customers_touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();

--= expand | additive | - | catalog only |
CREATE FUNCTION upper_name(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';

--= expand | additive | - | catalog only | MIGR119!
CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

--= expand | additive | - | catalog only |
--# What a body does is done when it is called, not when it is made.
CREATE FUNCTION wipe() RETURNS void LANGUAGE plpgsql AS $$ BEGIN TRUNCATE customers; END $$;

--= expand | additive | - | catalog only |
CREATE PROCEDURE wipe() LANGUAGE sql AS 'DELETE FROM orders';

--= expand | incompatible | - | catalog only | MIGR112!
ALTER FUNCTION touch() SECURITY DEFINER;

--= expand | incompatible | SHARE ROW EXCLUSIVE on public.customers | catalog only | MIGR112!
ALTER TABLE customers DISABLE TRIGGER customers_touch;

--= expand | incompatible | SHARE ROW EXCLUSIVE on public.customers | catalog only | MIGR112!
--@ not live: needs a superuser in production
ALTER TABLE customers ENABLE TRIGGER ALL;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR112!
ALTER TRIGGER customers_touch ON customers RENAME TO touch_customers;

--= expand | additive | ACCESS SHARE on public.customers; ACCESS SHARE on public.orders | catalog only |
CREATE VIEW rich AS SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.total > 10;

--= expand | additive | ACCESS EXCLUSIVE on public.customer_names; ACCESS SHARE on public.customers | catalog only | MIGR119!
CREATE OR REPLACE VIEW customer_names AS SELECT id, email FROM customers;

--= expand | additive | ACCESS SHARE on public.orders | reads the table |
CREATE MATERIALIZED VIEW richest AS SELECT max(total) FROM orders;

--= expand | incompatible | ACCESS EXCLUSIVE on public.totals | rewrites the table | MIGR004!
REFRESH MATERIALIZED VIEW totals;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customer_names | catalog only | MIGR112!
ALTER VIEW customer_names RENAME TO names;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR112!
CREATE RULE no_delete AS ON DELETE TO customers DO INSTEAD NOTHING;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR112!
CREATE POLICY own ON customers USING (name = current_user);

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR112!
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR112!
ALTER TABLE customers FORCE ROW LEVEL SECURITY;

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.orders | catalog only |
CREATE STATISTICS order_totals (dependencies) ON customer_id, total FROM orders;

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | reads the table |
ANALYZE customers;

--= expand | additive | - | catalog only |
CREATE SCHEMA reporting;

--= expand | additive | - | catalog only |
--@ not live: the extension may not be installed
CREATE EXTENSION pg_trgm;

--= expand | additive | - | catalog only |
CREATE AGGREGATE product_of (integer) (sfunc = int4mul, stype = integer, initcond = '1');
