//! The contacts of the calendars in force, read again when a calendar was put.

use std::sync::{Arc, Mutex, PoisonError};

use chassis::{Failure, db::Db};

use super::{Contact, contacts};
use crate::store::terms;

/// Whom to call, by term; those of the newest calendars first.
#[derive(Debug, Clone)]
pub struct ContactBook {
    db: Db,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The calendars that were read: term and version.
    versions: Vec<(String, i64)>,
    contacts: Arc<[(String, Contact)]>,
}

impl ContactBook {
    /// Of the terms in this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, kept: Arc::default() }
    }

    /// The contacts of `term`, or of all terms if it is empty, none twice.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of(&self, term: &str) -> Result<Vec<Contact>, Failure> {
        let mut found: Vec<Contact> = Vec::new();
        for (of, contact) in self.read().await?.iter() {
            if (term.is_empty() || of == term) && !found.contains(contact) {
                found.push(contact.clone());
            }
        }
        Ok(found)
    }

    async fn read(&self) -> Result<Arc<[(String, Contact)]>, Failure> {
        let mut db = self.db.reader();
        let versions = terms::versions_in_force(&mut db).await?;
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.versions == versions {
                return Ok(Arc::clone(&kept.contacts));
            }
        }
        let mut found = Vec::new();
        for (term, version) in &versions {
            if let Some(calendar) = terms::calendar_of(&mut db, term, *version).await? {
                found.extend(contacts(&calendar.document).into_iter().map(|contact| (term.clone(), contact)));
            }
        }
        let contacts: Arc<[_]> = found.into();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept { versions, contacts: Arc::clone(&contacts) };
        Ok(contacts)
    }
}
