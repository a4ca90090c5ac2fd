using System.Globalization;
using System.Text;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>A relay on its own takes no large body, and says so in a way that whoever sends one first and reads then gets to read.</summary>
public sealed class LargeBodyTests
{
    [Theory]
    [InlineData(28_000_000)]
    [InlineData(31_000_000)] // above the HTTP server's own limit of 30,000,000
    [InlineData(120_000_000)]
    [InlineData(600_000_000)]
    public async Task A_refusal_before_a_large_body_has_come_is_read_by_its_sender(long size)
    {
        await using var relay = await RelayHost.StartAsync(1_700_000_500);
        foreach (var (status, method, path, type) in ((int, string, string, string)[])
            [
                (413, "POST", "/", "application/nostr+json+rpc"),
                (415, "POST", "/", "text/plain"),
                (405, "PUT", "/", "text/plain"),
                (404, "PUT", "/upload", "text/plain"),
            ])
        {
            for (var i = 0; i < 4; i++) // a reset reaches some senders, not all
            {
                Assert.StartsWith($"HTTP/1.1 {status} ", await SendAsync(relay, $"{method} {path}", type, size), StringComparison.Ordinal);
            }
        }
    }

    // Everything first; then it reads.
    private static async Task<string> SendAsync(RelayHost relay, string target, string type, long size)
    {
        using var client = await RawClient.ConnectAsync(relay.Http);
        var length = size.ToString(CultureInfo.InvariantCulture);
        await client.SendAsync($"{target} HTTP/1.1\r\nHost: {relay.Http.Authority}\r\nContent-Type: {type}\r\nContent-Length: {length}\r\n\r\n");
        var piece = Encoding.ASCII.GetBytes(new string(' ', 1024 * 1024));
        for (var left = size; left > 0; left -= Math.Min(left, piece.Length))
        {
            await client.SendAsync(piece.AsMemory(0, (int)Math.Min(left, piece.Length)));
        }

        return await client.ReadHeadAsync();
    }
}
