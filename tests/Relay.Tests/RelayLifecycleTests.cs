using System.Text.Json;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>Vectors/relay-lifecycle.json over a real socket: NIP-01 replacement, NIP-09, NIP-40, NIP-59, NIP-62, NIP-70.</summary>
public sealed class RelayLifecycleTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", "relay-lifecycle.json"))).RootElement;

    public static TheoryData<string> Names =>
        [.. Vectors.GetProperty("cases").EnumerateArray().Select(c => c.GetProperty("name").GetString()!)];

    [Theory]
    [MemberData(nameof(Names))]
    [Trait("Clock", "Date")]
    public async Task Keeps_what_the_vector_keeps(string name)
    {
        var vector = Vectors.GetProperty("cases").EnumerateArray().Single(c => c.GetProperty("name").GetString() == name);
        var now = vector.TryGetProperty("now", out var at) ? at.GetInt64() : 1_700_000_500;
        await using var relay = await RelayHost.StartAsync(now, null, "--Relay:GiftWraps=Open", "--Relay:AuthOnConnect=true",
            "--Relay:GroupEventClockSkew=00:15:00");
        await using var client = await relay.ConnectAsync();
        Assert.Equal("AUTH", (await client.ReceiveAnyAsync())[0].GetString());
        if (vector.TryGetProperty("auth_as", out var keys))
        {
            foreach (var publicKey in keys.EnumerateArray())
            {
                var owner = Vectors.GetProperty("keys").EnumerateObject().Single(k => k.Value.GetProperty("pubkey").GetString() == publicKey.GetString());
                Assert.True(SecretKey.TryParse(owner.Value.GetProperty("secret").GetString(), out var secret));
                Assert.True((await client.AuthenticateAsync(secret!, relay.Clock.GetUtcNow())).Accepted);
                secret!.Dispose();
            }
        }

        // Somebody listens, or ephemeral events would be muted.
        await using var reader = await relay.ConnectAsync();
        await reader.SendAsync("[\"REQ\",\"live\",{\"limit\":0}]");
        Assert.Equal("AUTH", (await reader.ReceiveAnyAsync())[0].GetString());
        Assert.Equal("EOSE", (await reader.ReceiveAsync())[0].GetString());

        var last = (Accepted: true, Text: "");
        foreach (var evt in vector.GetProperty("store").EnumerateArray())
        {
            last = await client.PublishAsync(evt.GetRawText());
            Assert.True(last.Accepted, last.Text);
        }

        foreach (var evt in vector.GetProperty("then").EnumerateArray())
        {
            last = await client.PublishAsync(evt.GetRawText());
        }

        if (vector.TryGetProperty("last_ok", out var ok))
        {
            Assert.Equal(ok.GetBoolean(), last.Accepted);
        }

        if (vector.TryGetProperty("last_prefix", out var prefix))
        {
            Assert.StartsWith(prefix.GetString() + ": ", last.Text, StringComparison.Ordinal);
        }

        if (vector.TryGetProperty("last_prefix_any_of", out var prefixes))
        {
            Assert.Contains(prefixes.EnumerateArray(), p => last.Text.StartsWith(p.GetString() + ": ", StringComparison.Ordinal));
        }

        if (vector.TryGetProperty("later", out var later))
        {
            relay.Clock.Set(DateTimeOffset.FromUnixTimeSeconds(later.GetInt64()));
        }

        var served = new SortedSet<string>(await client.QueryAsync("{}"), StringComparer.Ordinal);
        foreach (var member in vector.EnumerateObject())
        {
            switch (member.Name)
            {
                case "kept" or "served_later":
                    Assert.Equal(Ids(member.Value), served);
                    break;
                case "kept_any_of":
                    Assert.Contains(member.Value.EnumerateArray(), set => Ids(set).SetEquals(served));
                    break;
                case "must_keep":
                    Assert.Superset(Ids(member.Value), served);
                    break;
                case "must_not_keep":
                    Assert.Empty(Ids(member.Value).Intersect(served));
                    break;
            }
        }
    }

    private static SortedSet<string> Ids(JsonElement ids) => new(ids.EnumerateArray().Select(id => id.GetString()!), StringComparer.Ordinal);
}
