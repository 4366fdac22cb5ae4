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
    let names = "SELECT table_name::TEXT FROM information_schema.tables WHERE table_schema = current_schema()
                 AND table_type = 'BASE TABLE' AND table_name NOT LIKE '%migrations' AND table_name LIKE $1 ORDER BY table_name";
    let mut tables = Vec::new();
    for name in sqlx::query_scalar::<_, String>(names).bind(pattern).fetch_all(&mut connection).await? {
        let columns = sqlx::query_as::<_, (String, String)>(
            "SELECT column_name::TEXT, data_type::TEXT FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        );
        let columns = columns.bind(&name).fetch_all(&mut connection).await?;
        let listed = columns.iter().map(|(column, kind)| match kind.as_str() {
            "bytea" => format!("\"{column}\""),
            _ => format!("convert_to(\"{column}\"::TEXT, 'UTF8')"),
        });
        let sql = format!("SELECT {} FROM \"{name}\"", listed.collect::<Vec<_>>().join(", "));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.context(name.clone())?;
        let value = |row: &sqlx::postgres::PgRow, place| row.try_get::<Option<Vec<u8>>, _>(place);
        let rows = rows.iter().map(|row| (0..columns.len()).map(|place| value(row, place)).collect::<Result<_, _>>());
        let rows = rows.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns: columns.into_iter().map(|(column, _)| column).collect(), rows });
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
