#!/bin/sh
# Run once, by PostgreSQL's image, on an empty data folder: a database and its owner for each service.
set -eu
for service in roster catalog enrollment credit gateway; do
    password=$(cat "/passwords/$service/password")
    psql --set=ON_ERROR_STOP=1 --set="name=shixun_$service" --set="password=$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
