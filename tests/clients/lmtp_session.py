"""A session of Python's smtplib.LMTP: PORT SOCKET FOLDER.

Delivers every file of the folder, over TCP and over the Unix socket, and asks for whatever
else smtplib can do, each with what must come of it.
"""
import pathlib
import smtplib
import sys

port, socket, folder = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
files = sorted(folder.iterdir())
ALICE = "alice@example.org"


def connect(host, *port):
    return smtplib.LMTP(host, *port, local_hostname="client.example.org")


def code(answer, expected):
    assert (answer[0], answer[1].split()[0].decode()) == expected, answer


for client in connect("127.0.0.1", port), connect(socket):
    assert client.ehlo_or_helo_if_needed() is None
    for feature in "pipelining", "8bitmime", "smtputf8", "enhancedstatuscodes", "chunking", "size":
        assert client.has_extn(feature), feature
    assert client.ehlo_resp.startswith(b"mx.example.org\n"), client.ehlo_resp
    for file in files:
        refused = client.sendmail("ada@example.net", [ALICE], file.read_bytes(), ["BODY=8BITMIME"])
        assert refused == {}, refused
    code(client.noop(), (250, "2.0.0"))
    code(client.verify("alice"), (252, "2.5.0"))
    code(client.docmd("HELO", "me"), (500, "5.5.1"))
    code(client.mail("ada@example.net"), (250, "2.1.0"))
    code(client.rcpt("nobody@example.org"), (550, "5.1.1"))
    code(client.rset(), (250, "2.0.0"))
    try:
        client.sendmail("ada@example.net", ["nobody@example.org"], "Subject: x\r\n\r\nx\r\n")
        raise SystemExit("nobody got a message")
    except smtplib.SMTPRecipientsRefused as refused:
        assert refused.recipients["nobody@example.org"][0] == 550
    try:
        client.sendmail("ada@example.net", [ALICE], b"Subject: x\r\n\r\nbare\nlines\r\n")
        raise SystemExit("a bare LF was taken")
    except smtplib.SMTPDataError as refused:
        assert refused.smtp_code == 554, refused
    client.quit()

# Many recipients: smtplib reads one answer only, so the others are read here.
with connect("127.0.0.1", port) as client:
    client.ehlo_or_helo_if_needed()
    code(client.mail("ada@example.net"), (250, "2.1.0"))
    for recipient, expected in (("Sales@example.com", 250), ("bob", 250), ("nobody", 550), (ALICE, 250)):
        assert client.rcpt(recipient.replace("Sales", "sales"))[0] == expected
    code(client.data("Subject: many\r\n\r\nto many\r\n"), (250, "2.0.0"))
    code(client.getreply(), (250, "2.0.0"))
    code(client.getreply(), (250, "2.0.0"))
    code(client.noop(), (250, "2.0.0"))

with connect("127.0.0.1", port) as client:
    refused = client.sendmail("\u00e4da@example.net", ["alice+\u00fc@example.org"],
                              "Subject: \u00fc\r\n\r\nutf8\r\n".encode(), ["SMTPUTF8", "BODY=8BITMIME"])
    assert refused == {}

print("all done")
