//! FairEmail, by way of JavaMail: the user named twice, one idling connection for each folder.

use restante_tests::{Client, Server, Test, neighbours::base64, samples, tests};

use crate::{done, hear_of, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    plain_with_the_user_as_authorisation_identity,
    one_idling_connection_for_each_folder_hears_of_its_own,
    noop_while_nothing_happens_says_nothing,
];

fn connect(server: &Server) -> Client {
    let (name, password) = (&server.alice.name, &server.alice.password);
    let response = base64(format!("{name}\0{name}\0{password}").as_bytes());
    let mut client = server.connect();
    ok(&mut client, format!("A1 AUTHENTICATE PLAIN {response}"));
    client
}

fn plain_with_the_user_as_authorisation_identity(server: &Server) {
    let mut client = connect(server);
    let capabilities = ok(&mut client, "A2 CAPABILITY");
    assert_eq!(capabilities.untagged.len(), 1);
    ok(&mut client, "A3 NAMESPACE");
    ok(&mut client, "A4 LIST \"\" \"*\"");
    ok(&mut client, "A5 SELECT INBOX (CONDSTORE)");
}

fn one_idling_connection_for_each_folder_hears_of_its_own(server: &Server) {
    const FOLDERS: usize = 20;
    let mut other = server.login();
    let mut clients: Vec<Client> = (0..FOLDERS)
        .map(|number| {
            other.ok(format!("CREATE Folder{number}"));
            let mut client = connect(server);
            ok(&mut client, format!("A2 SELECT Folder{number}"));
            idle(&mut client, "A3 IDLE");
            client
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        let folder = format!("Folder{number}");
        other.append_ok(&folder, "", &samples::plain("news", "text"));
        hear_of(client, 1);
    }
    for client in &mut clients {
        client.send("DONE\r\n");
        // Neither here nor in IDLE was anything said of the other folders.
        let told = done(client, "A3").exists();
        assert!(told.is_none_or(|count| count == 1), "{told:?}");
        let fetches = ok(
            client,
            "A4 FETCH 1:* (ENVELOPE INTERNALDATE RFC822.SIZE FLAGS UID)",
        );
        assert_eq!(fetches.fetches().len(), 1);
    }
}

/// Its keep-alive, every two to nine minutes.
fn noop_while_nothing_happens_says_nothing(server: &Server) {
    let mut client = connect(server);
    ok(&mut client, "A2 SELECT INBOX");
    for number in 3..50 {
        let reply = ok(&mut client, format!("A{number} NOOP"));
        assert!(reply.untagged.is_empty(), "{reply:?}");
    }
}
