-- Views of isolated tables in which the stores' ids of shared rows stand beside the central key.
CREATE SCHEMA IF NOT EXISTS chain;
