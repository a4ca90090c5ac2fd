using Marmot.Protocol.Addresses;

namespace Marmot.Protocol.Tests.Addresses;

[Trait("Spec", "RFC 3986")]
public class HostNameTests
{
    [Theory]
    [InlineData("relay.example", "relay.example")]
    [InlineData("Relay.EXAMPLE.", "relay.example")]
    [InlineData("bücher.example", "xn--bcher-kva.example")]
    [InlineData("BÜCHER.example", "xn--bcher-kva.example")]
    [InlineData("xn--bcher-kva.example", "xn--bcher-kva.example")]
    [InlineData("my_relay", "my_relay")]
    [InlineData("localhost", "localhost")]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("::1", "::1")]
    [InlineData("[2001:DB8:0:0::1]", "2001:db8::1")]
    public void Reads_a_host_into_the_form_that_is_compared(string text, string expected)
    {
        Assert.True(HostName.TryParse(text, out var host));
        Assert.Equal(expected, host.Text);
        Assert.True(HostName.TryParse(host.Text, out var again));
        Assert.Equal(host, again);
        Assert.True(HostName.TryReadUrl($"wss://{host.UrlText}:8080/", out _, out var ofUrl));
        Assert.Equal(host, ofUrl);
    }

    public static TheoryData<string> BadHosts => new(
        "", ".", "a..b", ".a", "a..", "xn--ü", "xn--99999999", "xn--zz--.example", "ö..b", "-a.b", "a-.b", "a b", "a/b", "a@b", "a%20b", "a\0b", "a\nb",
        "foo:99999", "foo:80", "127.1", "0x7f.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "a.1", "1", "[::1", "::1]", "[]", "[1.2.3.4]", "[::1%lo]",
        "::1%1", "fe80::1/64", ":::", new string('a', 64), string.Join('.', Enumerable.Repeat("abcdefg", 32)), new string('ü', 200), "\ud800", "\u00ad");

    [Theory]
    [MemberData(nameof(BadHosts))]
    public void Bad_hosts_are_refused_without_an_exception(string text)
    {
        Assert.False(HostName.TryParse(text, out var host));
        Assert.Equal("", host.Text);
        Assert.False(HostName.TryParseWithPort($"{text}:x", out _, out _));
    }

    [Theory]
    [MemberData(nameof(BadHosts))]
    public void A_url_with_a_bad_host_gives_no_exception_and_never_another_host(string text)
    {
        if (HostName.TryReadUrl($"wss://{text}/", out var url, out var host))
        {
            Assert.Equal(url.IdnHost, host.Text); // user information, a path, a port, short IPv4: the host that a connection would go to
        }
    }

    [Theory]
    [InlineData("relay.example", "relay.example", null)]
    [InlineData("relay.example:443", "relay.example", 443)]
    [InlineData("[::1]:8080", "::1", 8080)]
    [InlineData("[::1]", "::1", null)]
    [InlineData("127.0.0.1:65535", "127.0.0.1", 65535)]
    public void Reads_the_value_of_a_host_header(string text, string expected, int? port)
    {
        Assert.True(HostName.TryParseWithPort(text, out var host, out var read));
        Assert.Equal(expected, host.Text);
        Assert.Equal(port, read);
    }

    [Theory]
    [InlineData("foo:99999")]
    [InlineData("foo:")]
    [InlineData("foo:-1")]
    [InlineData("foo: 80")]
    [InlineData("foo:80:80")]
    [InlineData("::1:80")]
    [InlineData(":80")]
    [InlineData("[::1]80")]
    public void A_bad_port_is_refused(string text) => Assert.False(HostName.TryParseWithPort(text, out _, out _));

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("a.localhost", true)]
    [InlineData("127.9.9.9", true)]
    [InlineData("::1", true)]
    [InlineData("::ffff:127.0.0.2", true)]
    [InlineData("localhost.example", false)]
    [InlineData("notlocalhost", false)]
    [InlineData("10.0.0.1", false)]
    public void Knows_loopback_names(string text, bool expected)
    {
        Assert.True(HostName.TryParse(text, out var host));
        Assert.Equal(expected, host.IsLoopback);
    }

    [Theory]
    [InlineData("ftp://a.example/")]
    [InlineData("/a.example")]
    [InlineData("wss://")]
    [InlineData("wss://xn--ü/")]
    [InlineData("wss://a..b/")]
    [InlineData("wss://foo:99999/")]
    [InlineData(null)]
    public void Refuses_what_is_no_url_of_a_web_or_relay_host(string? url) => Assert.False(HostName.TryReadUrl(url, out _, out _));
}
