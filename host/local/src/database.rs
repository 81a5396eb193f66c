//! The database of the embedded DynamoDB: in memory, and with a stream that is as new as its table.
//!
//! Dynoxide keeps stream records by the name of their table, also when the table is deleted or its stream is renewed:
//! the next one of that name would begin with them, under a label of its own, and be counted a second time. There is no
//! setting for it. Its storage is SQLite, and so triggers can clear what is left.

use super::LocalError;
use dynoxide::Database;
use rusqlite::Connection;

/// Clear the stream where its table goes, and where it gets another label.
const TRIGGERS: &str = "
CREATE TRIGGER deleted_table AFTER DELETE ON _tables BEGIN
    DELETE FROM _stream_records WHERE table_name = OLD.table_name;
END;
CREATE TRIGGER renewed_stream AFTER UPDATE OF stream_label ON _tables
WHEN OLD.stream_label IS NOT NEW.stream_label BEGIN
    DELETE FROM _stream_records WHERE table_name = NEW.table_name;
END;
";

/// Opens an empty database.
///
/// Its connection is dynoxide's own, so the triggers come in by way of a file: an empty database goes out and comes
/// back with them.
///
/// # Errors
/// [`LocalError::Database`].
pub(super) fn open() -> Result<Database, LocalError> {
    let failed = |reason: &dyn ToString| LocalError::Database {
        reason: reason.to_string(),
    };
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let file = folder.path().join("empty.sqlite");
    let path = file
        .to_str()
        .ok_or_else(|| failed(&format!("the path {} is not Unicode", file.display())))?;
    let database = Database::memory().map_err(|error| failed(&error))?;
    database.vacuum_into(path).map_err(|error| failed(&error))?;
    Connection::open(&file)
        .and_then(|connection| connection.execute_batch(TRIGGERS))
        .map_err(|error| failed(&error))?;
    database
        .restore_from(path)
        .map_err(|error| failed(&error))?;
    Ok(database)
}
