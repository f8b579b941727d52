--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers | changes rows | MIGR105! MIGR117!
--# The guide's own form: the lock of the first statement is held for the whole backfill.
ALTER TABLE customers ADD COLUMN street_address text;
UPDATE customers SET street_address = split_part(address, ',', 1);

--= expand | data-dependent | ROW EXCLUSIVE on public.customers | changes rows | MIGR117!
UPDATE customers SET credit = 0 WHERE credit IS NULL;

--= expand | destructive | ROW EXCLUSIVE on public.orders | changes rows | MIGR117!
DELETE FROM orders WHERE total = 0;

--= expand | data-dependent | ROW EXCLUSIVE on public.regions | changes rows | MIGR117!
INSERT INTO regions (id, name) VALUES (2, 'south');

--= expand | data-dependent | ROW EXCLUSIVE on public.regions | changes rows | MIGR117!
INSERT INTO regions VALUES (1, 'north') ON CONFLICT (id) DO NOTHING;

--= expand | destructive | ROW EXCLUSIVE on public.regions | changes rows | MIGR117!
MERGE INTO regions r USING (VALUES (1, 'x')) v (id, name) ON r.id = v.id WHEN MATCHED THEN DELETE;

--= expand | destructive | ACCESS EXCLUSIVE on public.orders | rewrites the table | MIGR117!
TRUNCATE orders;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers; ACCESS EXCLUSIVE on public.orders; ACCESS EXCLUSIVE on tables that it does not name | rewrites the table | MIGR116! MIGR117!
TRUNCATE TABLE customers, orders CASCADE;

--= expand | data-dependent | ROW EXCLUSIVE on public.regions | changes rows | MIGR117!
--@ not live: reads from the client
COPY regions FROM STDIN;

--= expand | destructive | ROW EXCLUSIVE on public.orders | changes rows | MIGR117!
WITH gone AS (DELETE FROM orders WHERE total < 0 RETURNING id) SELECT count(*) FROM gone;

--= expand | additive | - | reads the table | MIGR118!
SELECT tidy();

--= expand | additive | - | reads the table | MIGR118!
SELECT setval('ticket', 1000);

--= expand | additive | - | reads the table | MIGR118!
SELECT pg_sleep(1);

--= expand | incompatible | - | catalog only | MIGR118!
DO $$ BEGIN ALTER TABLE customers DROP COLUMN address; END $$;

--= expand | incompatible | - | catalog only | MIGR118!
DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DROP TABLE orders''; END';

--= expand | incompatible | - | catalog only | MIGR118!
CALL sweep();

--= expand | incompatible | - | catalog only | MIGR118!
--@ not live: nothing is prepared
EXECUTE wipe;

--= expand | incompatible | - | catalog only | MIGR118!
EXPLAIN ANALYZE DELETE FROM orders;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR004!
LOCK TABLE customers IN ACCESS EXCLUSIVE MODE;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101! MIGR121!
--@ not live: cannot run in a transaction
VACUUM FULL customers;

--= expand | additive | SHARE UPDATE EXCLUSIVE on public.customers | reads the table | MIGR121!
--@ not live: cannot run in a transaction
VACUUM (ANALYZE) customers;

--= expand | additive | ACCESS SHARE on public.customers | reads the table | MIGR004!
SELECT count(*) FROM customers;

--= expand | additive | ACCESS SHARE on public.customers | reads the table | MIGR004!
SELECT id, name FROM customers WHERE id = 1;

--= expand | destructive | ROW EXCLUSIVE on public.orders | changes rows | MIGR117!
--# What is written inside of another statement is written all the same.
CREATE TABLE gone (id bigint);
WITH d AS (DELETE FROM orders WHERE total < 0 RETURNING id) INSERT INTO gone SELECT id FROM d;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | changes rows | MIGR105! MIGR115! MIGR117! MIGR119! MIGR126
--# The seed's contract as it stands, in the wrong phase.
ALTER TABLE customers DROP COLUMN IF EXISTS address;
UPDATE customers SET name = name;
