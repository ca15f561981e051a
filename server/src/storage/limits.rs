//! What a key and a value may be, the same in every backend, so that what works on
//! one works on all of them. The numbers are Garage's or smaller.

use restante_core::storage::{InsertItem, ItemKey, ObjectKey, StorageError};

/// Bytes of a sort key (Garage: 479).
pub const SORT_KEY_BYTES_MAX: usize = 479;
/// Bytes of a partition key.
pub const PARTITION_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of an object key (S3: 1,024).
pub const OBJECT_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of one value of an item.
pub const ITEM_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Items in one answer to `ReadRange`, and keys in one answer to `ListObjects`
/// (Garage and S3: 1,000); an answer that is cut says where to continue.
pub const RANGE_ITEMS_MAX: u32 = 10_000;
/// Bytes of values in one answer to `ReadRange` (from Garage: of items as it writes them, in base64 and with
/// their keys and tokens); the item that passes it is the last.
pub const RANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Refuses a key that some backend could not store.
pub(super) fn check_item_key(key: &ItemKey) -> Result<(), StorageError> {
    if key.partition.0.len() > PARTITION_KEY_BYTES_MAX {
        return Err(refused("the partition key is too long", &key.partition.0));
    }
    if key.sort.0.len() > SORT_KEY_BYTES_MAX {
        return Err(refused("the sort key is too long", &key.sort.0));
    }
    if key.partition.0.is_empty() || key.sort.0.is_empty() {
        return Err(StorageError::Refused(format!(
            "an item needs a partition key and a sort key ({:?}, {:?})",
            key.partition.0, key.sort.0
        )));
    }
    Ok(())
}

/// Refuses an insert that some backend could not store.
pub(super) fn check_insert(insert: &InsertItem) -> Result<(), StorageError> {
    check_item_key(&insert.key)?;
    if insert.value.len() > ITEM_VALUE_BYTES_MAX {
        return Err(refused("the value is too long for", &insert.key.sort.0));
    }
    Ok(())
}

/// Refuses the key of an object that some backend could not store.
pub(super) fn check_object_key(key: &ObjectKey) -> Result<(), StorageError> {
    if key.0.is_empty() {
        return Err(StorageError::Refused("an object needs a key".to_owned()));
    }
    if key.0.len() > OBJECT_KEY_BYTES_MAX {
        return Err(refused("the object key is too long", &key.0));
    }
    Ok(())
}

/// Names the key, or the beginning of one that is too long for a log.
fn refused(why: &str, key: &str) -> StorageError {
    let start: String = key.chars().take(64).collect();
    StorageError::Refused(format!("{why}: {start}"))
}
