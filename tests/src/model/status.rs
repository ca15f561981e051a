//! STATUS responses: storage is looked into, so they are of now.

use super::command::Command;
use super::flags::Flags;
use super::wire::Said;
use super::world::World;
use crate::{Response, Value};

pub(super) fn hear(world: &mut World, said: &Said, line: &Response) -> Result<(), String> {
    let Command::Status { mailbox, modseq } = &said.command else {
        return Err("nobody asked".to_owned());
    };
    let data = line.data("STATUS").ok_or("no STATUS")?;
    let [name, Value::List(items)] = data.as_slice() else {
        return Err("not a name and a list".to_owned());
    };
    if name.text() != world.names[*mailbox] {
        return Err("of another mailbox".to_owned());
    }
    let it = &mut world.mailboxes[*mailbox];
    let (now, state) = (it.now(), it.newest().clone());
    let unseen = state
        .messages
        .iter()
        .filter(|it| !it.flags.has(Flags::SEEN));
    let unseen = unseen.count() as u64;
    if items.len() != if *modseq { 10 } else { 8 } {
        return Err("not what was asked for".to_owned());
    }
    for pair in items.chunks(2) {
        let (name, value) = (pair[0].text().to_uppercase(), pair[1].number());
        let expected = match name.as_str() {
            "MESSAGES" => state.messages.len() as u64,
            "UIDNEXT" => u64::from(state.next),
            "UNSEEN" => unseen,
            "UIDVALIDITY" => {
                let told = u32::try_from(value).map_err(|_| "UIDVALIDITY")?;
                u64::from(*it.uid_validity.get_or_insert(told))
            }
            "HIGHESTMODSEQ" => {
                it.bind_highest(now, value)?;
                value
            }
            _ => return Err(format!("{name} was not asked for")),
        };
        if value != expected {
            return Err(format!("{name} is {expected}"));
        }
    }
    Ok(())
}
