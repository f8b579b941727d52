--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN nickname text;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE public.customers ADD COLUMN nickname varchar(40);

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD nickname text NULL;

--= expand | additive | ACCESS EXCLUSIVE on public.Legacy Users | catalog only |
ALTER TABLE "Legacy Users" ADD COLUMN "Nick Name" text;

--= expand | additive | ACCESS EXCLUSIVE on billing.invoices | catalog only |
ALTER TABLE billing.invoices ADD COLUMN paid_at timestamptz;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN active boolean DEFAULT true;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN active boolean NOT NULL DEFAULT true;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN updated_at timestamptz DEFAULT CURRENT_TIMESTAMP;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN tags text[] DEFAULT ARRAY[]::text[];

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN settings jsonb NOT NULL DEFAULT '{}'::jsonb;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN score integer DEFAULT -1;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN seen_at timestamptz DEFAULT clock_timestamp();

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN token uuid DEFAULT gen_random_uuid();

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN lucky integer DEFAULT floor(random() * 100);

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN ticket bigint DEFAULT nextval('ticket');

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN number serial;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN number bigserial NOT NULL;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN email_lower text GENERATED ALWAYS AS (lower(email)) STORED;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR109!
--# Fails at once on a table with rows, and blue does not write it.
--@ not live: the rows of the fixture refuse it
ALTER TABLE customers ADD COLUMN nickname text NOT NULL;

--= expand | additive | ACCESS EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.regions | catalog only |
ALTER TABLE customers ADD COLUMN region_id integer REFERENCES regions;

--= expand | additive | ACCESS EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.regions | catalog only |
ALTER TABLE customers ADD COLUMN region_id integer REFERENCES regions (id) ON DELETE CASCADE;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers; SHARE ROW EXCLUSIVE on public.regions | reads the table | MIGR102!
--# With a default every row has to be looked up.
ALTER TABLE customers ADD COLUMN region_id integer DEFAULT 1 REFERENCES regions;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers | builds an index | MIGR104!
ALTER TABLE customers ADD COLUMN code text UNIQUE;

--= expand | data-dependent | ACCESS EXCLUSIVE on public.customers | reads the table | MIGR102!
ALTER TABLE customers ADD COLUMN age integer CHECK (age > 0);

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR119!
ALTER TABLE customers ADD COLUMN IF NOT EXISTS nickname text;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR119!
ALTER TABLE IF EXISTS customers ADD COLUMN nickname text;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE customers ADD COLUMN a text, ADD COLUMN b text, ADD COLUMN c integer DEFAULT 0;

--= expand | destructive | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR115! MIGR126
ALTER TABLE customers ADD COLUMN a text, DROP COLUMN address;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
--# The type is a domain with a constraint: only the server knows that rows are read.
--@ not live: the server rewrites for a domain with a constraint, and says so
ALTER TABLE customers ADD COLUMN visits positive DEFAULT 1;

--= expand | additive | ACCESS EXCLUSIVE on public.events | catalog only |
ALTER TABLE events ADD COLUMN kind text;

--= expand | additive | ACCESS EXCLUSIVE on public.customers | catalog only |
ALTER TABLE ONLY customers ADD COLUMN nickname text;

--= expand | additive | ACCESS EXCLUSIVE on public.regions | rewrites the table | MIGR101~
-- tidegate: allow MIGR101 two hundred rows
ALTER TABLE regions ADD COLUMN token uuid DEFAULT gen_random_uuid();

--= expand | additive | ACCESS EXCLUSIVE on public.customers | rewrites the table | MIGR101!
ALTER TABLE customers ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY NOT NULL;
