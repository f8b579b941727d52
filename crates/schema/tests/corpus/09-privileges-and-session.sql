--= expand | additive | - | catalog only |
GRANT SELECT ON customers TO postgres;

--= expand | additive | - | catalog only |
GRANT SELECT (id, name), UPDATE (name) ON customers TO postgres;

--= expand | incompatible | - | catalog only | MIGR113!
REVOKE ALL ON customers FROM postgres;

--= expand | incompatible | - | catalog only | MIGR113!
REVOKE SELECT (address) ON customers FROM PUBLIC;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR113!
ALTER TABLE customers OWNER TO postgres;

--= expand | incompatible | - | catalog only | MIGR113!
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;

--= expand | incompatible | - | catalog only | MIGR004!
--@ not live: roles belong to the whole server
CREATE ROLE reporter LOGIN;

--= expand | incompatible | - | catalog only | MIGR113!
--@ not live: roles belong to the whole server
ALTER ROLE postgres SET search_path = billing;

--= expand | incompatible | ACCESS EXCLUSIVE on public.customers | catalog only | MIGR122!
--@ not live: leaves the transaction
BEGIN;
ALTER TABLE customers ADD COLUMN nickname text;
COMMIT;

--= expand | incompatible | - | catalog only | MIGR122!
--@ not live: leaves the transaction
SAVEPOINT a;

--= expand | incompatible | - | catalog only | MIGR123!
--@ not live: changes the session
SET lock_timeout = 0;

--= expand | incompatible | - | catalog only | MIGR123!
--@ not live: changes the session
SET search_path TO billing;

--= expand | incompatible | - | catalog only | MIGR123!
--@ not live: changes the session
SET ROLE postgres;

--= expand | incompatible | - | catalog only | MIGR123!
--@ not live: changes the session
RESET ALL;

--= expand | incompatible | - | catalog only | MIGR121!
--@ not live: belongs to the whole server
ALTER SYSTEM SET fsync = off;

--= expand | incompatible | - | catalog only | MIGR121!
--@ not live: belongs to the whole server
CREATE DATABASE other;

--= expand | incompatible | - | catalog only | MIGR121!
--@ not live: belongs to the whole server
CREATE TABLESPACE fast LOCATION '/fast';

--= expand | incompatible | - | catalog only | MIGR004!
--@ not live: nobody listens
NOTIFY channel;

--= expand | incompatible | - | catalog only | MIGR113!
--# Rights that were passed on go too, and nothing else.
REVOKE SELECT ON customers FROM PUBLIC CASCADE;
