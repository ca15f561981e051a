"""Submits a message as a mail client does.

usage: submission.py PORT PLAIN|LOGIN|CANCELLED USER PASSWORD

Prints what the server answers to the password, and whether it then takes a message.
CANCELLED begins with a LOGIN that it breaks off, then logs in by PLAIN.
"""

import smtplib
import sys

port, mechanism, user, password = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port), timeout=60) as server:
    server.ehlo()
    server.user, server.password = user, password
    if mechanism == "CANCELLED":
        code, _ = server.docmd("AUTH", "LOGIN")
        assert code == 334, code
        code, _ = server.docmd("*")
        assert code == 501, code
        mechanism = "PLAIN"
    methods = {"PLAIN": server.auth_plain, "LOGIN": server.auth_login}
    try:
        code, text = server.auth(mechanism, methods[mechanism])
    except smtplib.SMTPAuthenticationError as error:
        code, text = error.smtp_code, error.smtp_error
    print(code, text.decode())
    if code == 235:
        server.sendmail("alice@example.org", ["bob@example.net"], "Subject: hello\r\n\r\nhello\r\n")
        print("sent")
