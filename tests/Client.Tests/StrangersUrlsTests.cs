using Marmot.Client.Media;

namespace Marmot.Client.Tests;

/// <summary>URLs that other people's events and messages name: those with a host that is none are passed over, never an exception.</summary>
public sealed class StrangersUrlsTests
{
    private const string Own = "https://media.example";

    [Theory]
    [InlineData("https://xn--ü/x")]
    [InlineData("https://\u0378/x")]
    [InlineData("https://ü\u200d.example/x")]
    [InlineData("https://[fe80::1%25eth0]/x")]
    [InlineData("https://localhost/x")]
    [InlineData("https://localhost./x")]
    [InlineData("https://127.0.0.1./x")]
    [InlineData("https://127.1/x")]
    [InlineData("https://2130706433/x")]
    [InlineData("https://①②7.0.0.1/x")]
    [InlineData("https://[::ffff:10.0.0.1]/x")]
    [InlineData("https://10.0.0.1/x")]
    [InlineData("https://user@blobs.example/x")]
    [InlineData("http://blobs.example/x")]
    public void A_file_is_not_fetched_from_a_bad_host_or_a_private_one(string url) => Assert.False(BlossomClient.MayFetch(new Uri(url), [Own]));

    [Theory]
    [InlineData("https://blobs.example/x")]
    [InlineData("https://bücher.example/x")]
    [InlineData("https://192.0.2.1/x")]
    [InlineData("https://media.example/x")]
    public void From_other_hosts_it_is(string url) => Assert.True(BlossomClient.MayFetch(new Uri(url), [Own]));

    [Fact]
    public void Relays_with_a_bad_host_are_left_out_of_a_list() =>
        Assert.Equal(
            ["wss://relay.example/"],
            RelayUrls.Distinct(
                [
                    "wss://xn--ü", "wss://a..b", "wss://foo:99999", "wss://\u0378", "wss://", "wss://relay.example", "https://relay.example",
                    "wss://[fe80::1%25eth0]"
                ]));
}
