//! Reading every table of a database, whatever it is: for tests that no table may escape. It reads beside the running services,
//! past the code that is tested.

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _,
    postgres::PgConnection,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

/// A table with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// A value for each column: text as it is, numbers in digits, bytes as they are. NULL is none.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Table {
    /// The rows in which any of `columns` is one of `values`.
    #[must_use]
    pub fn rows_of(&self, columns: &[&str], values: &[&str]) -> Vec<&[Option<Vec<u8>>]> {
        let places: Vec<usize> =
            columns.iter().filter_map(|column| self.columns.iter().position(|known| known == column)).collect();
        let is_one = |value: &Option<Vec<u8>>| {
            value.as_deref().is_some_and(|value| values.iter().any(|one| !one.is_empty() && one.as_bytes() == value))
        };
        let of = |row: &&Vec<Option<Vec<u8>>>| places.iter().any(|place| row.get(*place).is_some_and(is_one));
        self.rows.iter().filter(of).map(Vec::as_slice).collect()
    }

    /// The columns in which `text` occurs.
    #[must_use]
    pub fn columns_with(&self, text: &str) -> Vec<&str> {
        let holds = |place: usize| {
            self.rows.iter().filter_map(|row| row.get(place)?.as_deref()).any(|value| contains(value, text.as_bytes()))
        };
        let columns = self.columns.iter().enumerate();
        columns.filter(|(place, _)| holds(*place)).map(|(_, column)| column.as_str()).collect()
    }
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && value.windows(part.len()).any(|window| window == part)
}

/// Every table of the database at `url`, but those that the engine or the migrations keep for themselves.
///
/// # Errors
/// If it cannot be read.
pub async fn read(url: &str) -> anyhow::Result<Vec<Table>> {
    read_some(url, "%").await
}

/// Those whose names are like `pattern`.
async fn read_some(url: &str, pattern: &str) -> anyhow::Result<Vec<Table>> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let options = SqliteConnectOptions::new().filename(path.trim_start_matches("//")).read_only(true);
        return sqlite(SqliteConnection::connect_with(&options).await?, pattern).await;
    }
    postgres(PgConnection::connect(url).await?, pattern).await
}

async fn sqlite(mut connection: SqliteConnection, pattern: &str) -> anyhow::Result<Vec<Table>> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'
                 AND name NOT LIKE '%migrations' AND name LIKE $1 ORDER BY name";
    let mut tables = Vec::new();
    for name in sqlx::query_scalar::<_, String>(names).bind(pattern).fetch_all(&mut connection).await? {
        let columns = sqlx::query_scalar::<_, String>("SELECT name FROM pragma_table_info($1) ORDER BY cid");
        let columns = columns.bind(&name).fetch_all(&mut connection).await?;
        let listed: Vec<_> = columns.iter().map(|column| format!("CAST(\"{column}\" AS BLOB)")).collect();
        let sql = format!("SELECT {} FROM \"{name}\"", listed.join(", "));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.context(name.clone())?;
        let value = |row: &sqlx::sqlite::SqliteRow, place| row.try_get::<Option<Vec<u8>>, _>(place);
        let rows = rows.iter().map(|row| (0..columns.len()).map(|place| value(row, place)).collect::<Result<_, _>>());
        let rows = rows.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns, rows });
    }
    connection.close().await?;
    Ok(tables)
}

async fn postgres(mut connection: PgConnection, pattern: &str) -> anyhow::Result<Vec<Table>> {
    // Not from the views of `information_schema`: to plan one takes longer than to read what it tells of.
    let listed = "SELECT t.relname::TEXT, c.attname::TEXT, c.atttypid = 'BYTEA'::REGTYPE
                  FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid
                  WHERE t.relnamespace = current_schema()::REGNAMESPACE AND t.relkind IN ('r', 'p')
                    AND t.relname NOT LIKE '%migrations' AND t.relname LIKE $1
                    AND c.attnum > 0 AND NOT c.attisdropped
                  ORDER BY t.relname, c.attnum";
    let listed = sqlx::query_as::<_, (String, String, bool)>(listed).bind(pattern).fetch_all(&mut connection).await?;
    let mut tables = Vec::new();
    for of_table in listed.chunk_by(|(table, ..), (next, ..)| table == next) {
        let name = of_table.first().map(|(table, ..)| table.clone()).unwrap_or_default();
        let columns: Vec<String> = of_table.iter().map(|(_, column, _)| column.clone()).collect();
        let values = of_table.iter().map(|(_, column, is_bytes)| match is_bytes {
            true => format!("\"{column}\""),
            false => format!("convert_to(\"{column}\"::TEXT, 'UTF8')"),
        });
        let sql = format!("SELECT {} FROM \"{name}\"", values.collect::<Vec<_>>().join(", "));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.context(name.clone())?;
        let value = |row: &sqlx::postgres::PgRow, place| row.try_get::<Option<Vec<u8>>, _>(place);
        let rows = rows.iter().map(|row| (0..columns.len()).map(|place| value(row, place)).collect::<Result<_, _>>());
        let rows = rows.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns, rows });
    }
    connection.close().await?;
    Ok(tables)
}

/// One table of the database at `url`.
///
/// # Errors
/// If it is not there, or cannot be read.
pub async fn read_one(url: &str, name: &str) -> anyhow::Result<Table> {
    let tables = read_some(url, name).await?;
    tables.into_iter().find(|table| table.name == name).with_context(|| format!("there is no table {name}"))
}
