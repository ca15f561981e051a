"""A session of Python's http.client: HTTP HTTPS IMAPS IMAP (ports).

Asks for every format as its clients do, in the clear and in TLS, and reads the answers with
parsers that nobody here wrote.
"""
import http.client
import json
import plistlib
import ssl
import sys
import uuid
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import quote

http_port, https_port, imaps, imap = map(int, sys.argv[1:5])
HOST = "mx.example.org"
ODD = "o'hara&sons+x=y@Example.org"
IDN = "j\u00f6rg@example.org"
POX = "http://schemas.microsoft.com/exchange/autodiscover/"
ANSWER = "{" + POX + "outlook/responseschema/2006a}"

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
plain = http.client.HTTPConnection("127.0.0.1", http_port, timeout=60)
secure = http.client.HTTPSConnection("127.0.0.1", https_port, timeout=60, context=context)


def ask(method, target, body=None, status=200, kind=None):
    answers = []
    for client in plain, secure:
        client.request(method, target, body)
        answer = client.getresponse()
        octets = answer.read()
        assert answer.status == status, (target, answer.status, octets)
        if kind:
            assert answer.getheader("Content-Type") == kind, answer.getheader("Content-Type")
        assert answer.getheader("Set-Cookie") is None
        answers.append(unsigned(octets))
    assert answers[0] == answers[1], target
    return answers[0]


def unsigned(octets):
    """What a signed profile holds; no two signatures are the same. Others are what they are."""
    if octets[:1] != b"\x30":
        return octets
    end = b"</plist>\n"
    return octets[octets.index(b"<?xml"):octets.index(end) + len(end)]


def texts(element, *names):
    return [element.findtext(name) for name in names]


# Mozilla
for path in "/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml":
    for asked, username in ((ODD, ODD), (IDN, IDN), (None, "%EMAILADDRESS%")):
        query = "?emailaddress=" + quote(asked) if asked else ""
        root = ET.fromstring(ask("GET", path + query, kind="text/xml; charset=utf-8"))
        assert root.tag == "clientConfig" and root.get("version") == "1.1"
        provider = root.find("emailProvider")
        assert provider.get("id") == HOST
        assert provider.findtext("domain").lower() == "example.org"
        found = [(server.get("type"), *texts(server, "hostname", "port", "socketType", "username",
                                             "authentication"))
                 for kind in ("incomingServer", "outgoingServer") for server in provider.findall(kind)]
        common = (username, "password-cleartext")
        assert found == [
            ("imap", HOST, str(imaps), "SSL", *common),
            ("imap", HOST, str(imap), "STARTTLS", *common),
            ("smtp", HOST, "465", "SSL", *common),
            ("smtp", HOST, "587", "STARTTLS", *common),
        ], found
ask("GET", "/mail/config-v1.1.xml?emailaddress=a@example.com", status=404)

# Outlook
request = ET.Element("Autodiscover", xmlns=POX + "outlook/requestschema/2006")
inner = ET.SubElement(request, "Request")
ET.SubElement(inner, "AcceptableResponseSchema").text = ANSWER[1:-1]
address = ET.SubElement(inner, "EMailAddress")
for path in "/autodiscover/autodiscover.xml", "/AutoDiscover/AutoDiscover.xml", "/Autodiscover/Autodiscover.xml":
    for asked in ODD, IDN:
        address.text = asked
        body = ET.tostring(request, encoding="utf-8", xml_declaration=True)
        root = ET.fromstring(ask("POST", path, body, kind="text/xml; charset=utf-8"))
        assert root.tag == "{" + POX + "responseschema/2006}Autodiscover"
        account = root.find(ANSWER + "Response/" + ANSWER + "Account")
        names = [ANSWER + name for name in ("Type", "Server", "Port", "LoginName", "SPA", "SSL", "AuthRequired")]
        found = [texts(protocol, *names) for protocol in account.findall(ANSWER + "Protocol")]
        assert found == [
            ["IMAP", HOST, str(imaps), asked, "off", "on", "on"],
            ["SMTP", HOST, "465", asked, "off", "on", "on"],
        ], found
address.text = "a@example.com"
root = ET.fromstring(ask("POST", "/autodiscover/autodiscover.xml", ET.tostring(request)))
assert [code.text for code in root.iter() if code.tag.endswith("ErrorCode")] == ["500"]
bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><EMailAddress>&c;@example.org</EMailAddress>'
root = ET.fromstring(ask("POST", "/autodiscover/autodiscover.xml", bomb))
assert [code.text for code in root.iter() if code.tag.endswith("ErrorCode")] == ["600"]

# Outlook's JSON
KIND = "application/json; charset=utf-8"
url = f"https://{HOST}:{https_port}/autodiscover/autodiscover.xml"
for target in (f"/autodiscover/autodiscover.json?Email={quote(ODD)}&Protocol=AutodiscoverV1",
               f"/Autodiscover/Autodiscover.json?Email={quote(ODD)}&Protocol=autodiscoverv1",
               f"/autodiscover/autodiscover.json/v1.0/{quote(ODD)}?Protocol=AutodiscoverV1"):
    assert json.loads(ask("GET", target, kind=KIND)) == {"Protocol": "AutodiscoverV1", "Url": url}
refused = ask("GET", "/autodiscover/autodiscover.json?Email=a@example.org&Protocol=Ews", status=400, kind=KIND)
assert json.loads(refused)["ErrorCode"] == "InvalidProtocol"

# Apple
KIND = "application/x-apple-aspen-config"
target = "/apple.mobileconfig?emailaddress="
for asked in ODD, IDN:
    profile = plistlib.loads(ask("GET", target + quote(asked), kind=KIND))
    assert plistlib.loads(ask("GET", target + quote(asked))) == profile, "its identifiers are stable"
    (mail,) = profile["PayloadContent"]
    assert (profile["PayloadType"], mail["PayloadType"]) == ("Configuration", "com.apple.mail.managed")
    assert len({uuid.UUID(each["PayloadUUID"]) for each in (profile, mail)}) == 2
    assert mail["EmailAddress"] == mail["IncomingMailServerUsername"] == mail["OutgoingMailServerUsername"] == asked
    assert mail["EmailAccountType"] == "EmailTypeIMAP"
    for way, port in ("Incoming", imaps), ("Outgoing", 465):
        assert mail[way + "MailServerHostName"] == HOST
        assert mail[way + "MailServerPortNumber"] == port
        assert mail[way + "MailServerUseSSL"] is True
    assert not any(key.endswith("Password") and isinstance(value, str) for key, value in mail.items())
ask("GET", "/apple.mobileconfig", status=400)


# The page
class Page(HTMLParser):
    def __init__(self, octets):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(octets.decode())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


empty = Page(ask("GET", "/", kind="text/html; charset=utf-8"))
filled = Page(ask("GET", "/?emailaddress=" + quote(ODD)))
for page in empty, filled:
    assert not page.all("script") and not page.all("style")
    assert page.all("form") == [{"method": "get", "action": "/"}]
assert empty.all("input")[0]["value"] == "" and not empty.all("svg")
assert filled.all("input")[0]["value"] == ODD
assert len(filled.all("svg")) == 1 and ODD in filled.text
for shown in HOST, str(imaps), str(imap), "465", "587", "STARTTLS":
    assert shown in filled.text, shown
(link,) = filled.all("a")
assert plistlib.loads(ask("GET", link["href"]))["PayloadContent"][0]["EmailAddress"] == ODD
for attributes in filled.all("link"):
    ask("GET", attributes["href"], kind="text/css; charset=utf-8")

print("all done")
