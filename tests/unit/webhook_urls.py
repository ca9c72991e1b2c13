"""Texts that a webhook must never be able to call, and some that it may: what people have used to get past such guards.

`NAMES` is what a hostile or an inner name server answers for the names in them.
"""

from typing import Final

_LOOPBACK: Final = (
    "127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 127.1 127.0.1 2130706433 0x7f000001 0X7F000001 "
    "0x7f.0x0.0x0.0x1 0x7f.1 0177.0.0.1 0177.0.0.01 017700000001 00000177.0.0.1 0177.0x0.0.1 127.0.0.1. "
    "127.000.000.001 127.0.0.1.. 0x7f.0.0.1 0127.0.0.1 0 0.0.0.0 0.0.0.1 00.0.0.0 0x0 0. [::1] [::] "
    "[0:0:0:0:0:0:0:1] [::0001] [0000:0000:0000:0000:0000:0000:0000:0001] [::127.0.0.1] [::ffff:127.0.0.1] "
    "[::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] "
    "[64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001::1] "
    "127.0.0.1.0 1270.0.0.1 4294967295 4294967296 340282366920938463463374607431768211455 127.0.0.256 127.0.0.0x1 "
    "256.256.256.256"
)
_PRIVATE: Final = (
    "10.0.0.1 10.255.255.255 10.1 012.0.0.1 0xa.0.0.1 0x0a000001 167772161 172.16.0.1 172.31.255.254 172.16.1 "
    "192.168.0.1 192.168.1.1 192.168.257 0xc0a80101 3232235777 0300.0250.1.1 100.64.0.1 100.127.255.254 "
    "100.100.100.200 198.18.0.1 198.19.255.255 192.0.0.1 192.0.0.192 192.0.2.1 198.51.100.7 203.0.113.9 "
    "192.88.99.1 192.31.196.1 192.52.193.1 192.175.48.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 "
    "[fc00::1] [fd00::1] [fd12:3456:789a::1] [fec0::1] [fe80::1] [fe80::] [febf::1] [ff02::1] [ff05::2] "
    "[2001:db8::1] [2001:2::1] [2001:10::1] [2001:20::1] [3fff::1] [100::1] [5f00::1] [2620:4f:8000::1] "
    "[::ffff:10.0.0.1] [::ffff:c0a8:101] [::10.0.0.1] [64:ff9b::10.0.0.1] [64:ff9b::a00:1] [2002:0a00:0001::] "
    "[2002:c0a8:0101::1] [::ffff:0:10.0.0.1] [64:ff9b:1:0:0:0:10.0.0.1]"
)
_METADATA: Final = (
    "169.254.169.254 169.254.170.2 169.254.0.1 0xa9fea9fe 2852039166 0251.0376.0251.0376 0251.254.169.254 "
    "169.254.43518 169.16689662 0xa9.0xfe.0xa9.0xfe 169.254.169.254. [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] "
    "[::169.254.169.254] [64:ff9b::a9fe:a9fe] [64:ff9b::169.254.169.254] [2002:a9fe:a9fe::] [fd00:ec2::254] "
    "[fd20:ce::254] 168.63.129.16 0xa83f8110 100.100.100.200"
)
HOSTS: Final = " ".join((_LOOPBACK, _PRIVATE, _METADATA)).split(" ")

NAMES: Final = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "LOCALHOST": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "anything.localhost": ["127.0.0.1"],
    "localtest.example": ["127.0.0.1"],
    "127.0.0.1.names.example": ["127.0.0.1"],
    "10-0-0-1.names.example": ["10.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "kubernetes.default.svc.cluster.local": ["10.96.0.1"],
    "rustqueue-0.rustqueue": ["10.244.0.7"],
    "one-of-two.example": ["93.184.215.14", "10.0.0.1"],
    "two-of-two.example": ["10.0.0.1", "93.184.215.14"],
    "mixed-kinds.example": ["93.184.215.14", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "zero.example": ["0.0.0.0"],
    "scoped.example": ["fe80::1%eth0"],
    "nothing.example": [],
    "xn--lcalhost-54a.example": ["127.0.0.1"],
    "a_b.example": ["192.168.1.1"],
}
GOOD_NAMES: Final = {"hooks.example": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]}

MALFORMED: Final = [
    "",
    " ",
    "hooks.example",
    "//hooks.example/",
    "/path",
    "http:",
    "http:/hooks.example",
    "http:///hooks.example",
    "http://",
    "http://:80/",
    "https://?x=1",
    "http:hooks.example",
    "HTTP://hooks.example/",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:/var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "ws://hooks.example/",
    "http://user@hooks.example/",
    "http://user:password@hooks.example/",
    "http://hooks.example@127.0.0.1/",
    "http://hooks.example:80@127.0.0.1/",
    "http://127.0.0.1@hooks.example/",
    "http://127.0.0.1#@hooks.example/",
    "http://hooks.example#@127.0.0.1/",
    "http://hooks.example/#fragment",
    "http://127.0.0.1\\@hooks.example/",
    "http://hooks.example\\@127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://hooks.example\\.127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\n/",
    "http://hooks.example\r\nHost: inner/",
    "http://hooks.example/\r\nX-Injected: 1",
    "http://hooks.example/ path",
    " http://hooks.example/",
    "http://hooks.example/ ",
    "http://hooks.example/\x00",
    "http://hooks\x00.example/",
    "http://hooks.example/\u00e9",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://loc\u00adalhost/",
    "http://\u217docalhost/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://%6c%6f%63%61%6c%68%6f%73%74/",
    "http://127%2e0%2e0%2e1/",
    "http://127.0.0.1%00.hooks.example/",
    "http://127.0.0.1%2523@hooks.example/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://[::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[127.0.0.1]/",
    "http://[v1.x]/",
    "http://[]/",
    "http://[::ffff:127.0.0.1/",
    "http://hooks..example/",
    "http://.hooks.example/",
    "http://-hooks.example/",
    "http://hooks-.example/",
    "http://hooks.example:/",
    "http://hooks.example:0/",
    "http://hooks.example:00000/",
    "http://hooks.example:65536/",
    "http://hooks.example:99999/",
    "http://hooks.example:080808/",
    "http://hooks.example:-1/",
    "http://hooks.example:8 0/",
    "http://hooks.example:0x50/",
    "http://hooks.example:http/",
    "http://hooks.example:80:80/",
    "http://" + "a" * 64 + ".example/",
    "http://" + ".".join(["abcdefghij"] * 30) + "/",
    "http://hooks.example/" + "a" * 2_100,
]

ODD_PORTS: Final = [
    f"http://hooks.example:{port}/"
    for port in (1, 7, 9, 19, 21, 22, 23, 25, 53, 79, 81, 110, 111, 135, 139, 143, 389, 445, 465, 514, 587, 873)
] + [
    f"http://93.184.215.14:{port}/"
    for port in (2375, 2379, 3306, 4444, 5432, 5672, 6379, 6443, 6789, 6790, 6800, 9200, 10250, 11211, 27017, 65535)
]

GOOD: Final = [
    "http://hooks.example",
    "https://hooks.example/",
    "https://hooks.example/in?token=a&b=%20c",
    "https://hooks.example:8443/path/;x=1/@me/a:b",
    "https://93.184.215.14/",
    "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8080/in",
    "https://xn--hks-1na.example/",
    "https://a_b-c.hooks.example./",
    "https://8.8.8.8:443/?q",
]
