//! eM Client: several parameters of SELECT, for a mailbox that it never saw.

use restante_tests::{Server, Test, samples, tests};

use crate::{done, ok};

pub(crate) const TESTS: &[Test] = tests![several_parameters_of_select];

fn several_parameters_of_select(server: &Server) {
    server.select(
        "Box",
        &[&samples::plain("one", "1"), &samples::plain("two", "2")],
    );
    let mut client = server.login();
    let reply = ok(&mut client, "1 ENABLE QRESYNC CONDSTORE");
    assert!(reply.untagged[0].text().contains("QRESYNC"), "{reply:?}");
    for parameters in [
        "(CONDSTORE QRESYNC (1 1))",
        "(QRESYNC (1 1) CONDSTORE)",
        "(CONDSTORE)",
        "(QRESYNC (1 1))",
    ] {
        client.send(format!(
            "2 SELECT Box {parameters}\r\n3 UID FETCH 1:* (UID FLAGS)\r\n"
        ));
        let reply = done(&mut client, "2");
        assert_eq!(reply.exists(), Some(2), "{parameters}: {reply:?}");
        assert!(
            reply.code("HIGHESTMODSEQ").is_some(),
            "{parameters}: {reply:?}"
        );
        // Another UIDVALIDITY: nothing is said of what was missed.
        assert!(
            reply.fetches().is_empty() && reply.data("VANISHED").is_empty(),
            "{reply:?}"
        );
        assert_eq!(done(&mut client, "3").fetches().len(), 2);
    }
}
