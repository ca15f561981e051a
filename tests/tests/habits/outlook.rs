//! Outlook: XLIST for the old ones, IDLE once something is selected, and no folder that
//! cannot be selected above others.

use restante_tests::{Server, Test, samples, tests};

use crate::{done, hear_of, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    xlist_names_the_special_folders,
    no_folder_above_others_is_without_messages,
    idle_after_select,
];

fn xlist_names_the_special_folders(server: &Server) {
    let mut client = server.login();
    let all = ok(&mut client, "a1 XLIST \"\" \"*\"").mailboxes("XLIST");
    for (name, attribute) in [
        ("INBOX", "\\inbox"),
        ("Drafts", "\\drafts"),
        ("Sent", "\\sent"),
        ("Trash", "\\trash"),
    ] {
        assert!(all[name].contains(attribute), "{all:?}");
    }
}

fn no_folder_above_others_is_without_messages(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "a1 CREATE \"a/b/c\"");
    client.append_ok("a/b/c", "", &samples::plain("one", "1"));
    client.command("DELETE a");
    client.command("DELETE a/b");
    ok(&mut client, "a2 RENAME \"a/b/c\" \"d/e/f\"");
    for command in [
        "a3 LIST \"\" \"*\"",
        "a4 XLIST \"\" \"*\"",
        "a5 LSUB \"\" \"*\"",
    ] {
        let name = command.split(' ').nth(1).unwrap_or_default();
        for (folder, attributes) in ok(&mut client, command).mailboxes(name) {
            assert!(
                !attributes.contains("\\noselect") && !attributes.contains("\\nonexistent"),
                "{command}: {folder} {attributes:?}"
            );
            ok(&mut client, format!("a6 SELECT \"{folder}\""));
        }
    }
    let all = ok(&mut client, "a7 LIST \"\" \"*\"").mailboxes("LIST");
    for name in ["d", "d/e", "d/e/f"] {
        assert!(all.contains_key(name), "{all:?}");
    }
}

fn idle_after_select(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "a1 SELECT \"INBOX\"");
    idle(&mut client, "a2 IDLE");
    server
        .login()
        .append_ok("INBOX", "", &samples::plain("one", "1"));
    hear_of(&mut client, 1);
    client.send("DONE\r\n");
    done(&mut client, "a2");
}
