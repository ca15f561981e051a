//! VANISHED responses (RFC 7162 §3.2.10): what vanished now, and to who asks FETCH for it,
//! what vanished earlier.

use super::command::Command;
use super::hear::Hearing;
use super::set::Set;
use crate::Response;

/// One line.
pub(super) fn hear(hearing: &mut Hearing<'_>, line: &Response) -> Result<(), String> {
    if !hearing.world.sessions[hearing.client].qresync {
        return Err("QRESYNC is not enabled".to_owned());
    }
    let text = line.text();
    let text = text.strip_prefix("* VANISHED ").ok_or("no UIDs")?;
    match text.strip_prefix("(EARLIER) ") {
        Some(uids) => earlier(hearing, uids),
        None => now(hearing, text),
    }
}

fn now(hearing: &mut Hearing<'_>, text: &str) -> Result<(), String> {
    hearing.may_renumber()?;
    let gone = Set::numbers(text)?;
    let at = hearing.at;
    let selected = hearing.selected()?;
    let known = |uid: &u32| selected.entries.iter().any(|entry| entry.uid == *uid);
    if let Some(uid) = gone.iter().find(|uid| !known(uid)) {
        return Err(format!("the client knows of no UID {uid}"));
    }
    selected.entries.retain(|entry| !gone.contains(&entry.uid));
    let mailbox = selected.mailbox;
    let state = hearing.world.mailboxes[mailbox].state(at);
    match gone.iter().find(|uid| state.find(**uid).is_some()) {
        Some(uid) => Err(format!("UID {uid} is still there")),
        None => Ok(()),
    }
}

/// None of them is among the messages that the client counts.
fn earlier(hearing: &mut Hearing<'_>, text: &str) -> Result<(), String> {
    let Command::Fetch {
        set,
        vanished: true,
        ..
    } = &hearing.said.command
    else {
        return Err("nobody asked what vanished".to_owned());
    };
    let at = hearing.at;
    let selected = hearing.selected()?.clone();
    let state = hearing.world.mailboxes[selected.mailbox].state(at);
    for uid in Set::numbers(text)? {
        let counted = selected.entries.iter().any(|entry| entry.uid == uid);
        let there = uid >= state.next || state.find(uid).is_some();
        if counted || there || !set.holds(uid, u32::MAX) {
            return Err(format!(
                "UID {uid} did not vanish earlier, or nobody asked for it"
            ));
        }
    }
    Ok(())
}

/// All that vanished since is named, unless the client counts it still.
pub(super) fn end(hearing: &mut Hearing<'_>, lines: &[Response]) -> Result<(), String> {
    let Command::Fetch {
        set,
        vanished: true,
        changed_since: Some(since),
        ..
    } = &hearing.said.command
    else {
        return Ok(());
    };
    let mut named = Vec::new();
    for line in lines {
        if let Some(uids) = line.text().strip_prefix("* VANISHED (EARLIER) ") {
            named.extend(Set::numbers(uids)?);
        }
    }
    let selected = hearing.selected()?.clone();
    let mailbox = &hearing.world.mailboxes[selected.mailbox];
    let shown = mailbox.state(selected.shown);
    for uid in (1..shown.next).filter(|uid| set.holds(*uid, u32::MAX) && !named.contains(uid)) {
        let gone =
            |at: &usize| mailbox.state(*at).next > uid && mailbox.state(*at).find(uid).is_none();
        let vanished = (0..=selected.shown).find(gone);
        if vanished.is_some_and(|at| mailbox.is_after(at, *since) == Some(true)) {
            return Err(format!("UID {uid} vanished, and is not named"));
        }
    }
    Ok(())
}
