using System.Globalization;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>Kinds whose NIP asks of a relay only that it stores, replaces and finds them.</summary>
public sealed class KindsTests
{
    private const long Now = 1_700_000_500;

    [Fact]
    [Trait("Spec", "NIP-02")]
    public async Task The_newest_follow_list_stands_and_followers_are_found_by_p()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        string[] followsBob = ["p", bob.PublicKey.ToString(), "wss://relay.example.com", "bob"];
        var older = NostrEvent.Create(alice, 3, [followsBob], "", Now - 10);
        var newer = NostrEvent.Create(alice, 3,
            [.. Enumerable.Range(0, 3000).Select(i => new[] { "p", i.ToString("x64", CultureInfo.InvariantCulture) }), followsBob],
            "{\"wss://old.example.com\":{}}", Now);
        await client.PublishAllAsync([older, newer]);
        Assert.Equal([newer.Id.ToString()], await client.QueryAsync($"{{\"kinds\":[3],\"authors\":[\"{alice.PublicKey}\"]}}"));
        Assert.Equal([newer.Id.ToString()], await client.QueryAsync($"{{\"kinds\":[3],\"#p\":[\"{bob.PublicKey}\"]}}"));
        var (accepted, text) = await client.PublishAsync(older); // replaced: it does not come back
        Assert.True(accepted);
        Assert.StartsWith("duplicate: ", text, StringComparison.Ordinal);
        Assert.Equal([newer.Id.ToString()], await client.QueryAsync("{\"kinds\":[3]}"));
    }

    [Fact]
    [Trait("Spec", "NIP-17")]
    public async Task A_list_of_inbox_relays_is_for_everybody_and_the_messages_in_them_for_their_recipient()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var stranger = await relay.ConnectAsync();
        using var bob = SecretKey.Generate();
        using var wrapper = SecretKey.Generate();
        var before = NostrEvent.Create(bob, 10050, [["relay", "wss://a.example.com"]], "", Now - 10);
        var inbox = NostrEvent.Create(bob, 10050, [["relay", "wss://relay.example.com"]], "", Now);
        var message = NostrEvent.Create(wrapper, 1059, [["p", bob.PublicKey.ToString()]], "sealed", Now - 90_000);
        await stranger.PublishAllAsync([before, inbox, message]);
        Assert.Equal([inbox.Id.ToString()], await stranger.QueryAsync($"{{\"kinds\":[10050],\"authors\":[\"{bob.PublicKey}\"]}}"));
        Assert.Equal([inbox.Id.ToString()], await stranger.QueryAsync("{}"));

        await using var client = await relay.ConnectAsync();
        Assert.True((await client.AuthenticateAsync(bob, relay.Clock.GetUtcNow())).Accepted);
        Assert.Equal([message.Id.ToString()], await client.QueryAsync($"{{\"kinds\":[1059],\"#p\":[\"{bob.PublicKey}\"]}}"));
    }

    [Fact]
    [Trait("Spec", "NIP-22")]
    public async Task Comments_are_all_kept_and_found_by_the_tags_of_their_root_and_of_their_parent()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var author = key.PublicKey.ToString();
        var article = $"30023:{author}:badgers";
        var first = NostrEvent.Create(key, 1111, [["A", article], ["K", "30023"], ["P", author], ["a", article], ["k", "30023"], ["p", author]],
            "well dug", Now - 2);
        var reply = NostrEvent.Create(key, 1111, [["A", article], ["K", "30023"], ["P", author], ["e", first.Id.ToString()], ["k", "1111"], ["p", author]],
            "indeed", Now - 1);
        var onPage = NostrEvent.Create(key, 1111, [["I", "https://example.com/a"], ["K", "web"], ["i", "https://example.com/a"], ["k", "web"]],
            "elsewhere", Now);
        await client.PublishAllAsync([first, reply, onPage]);
        Assert.Equal(Ids(reply, first), await client.QueryAsync($"{{\"kinds\":[1111],\"#A\":[\"{article}\"]}}"));
        Assert.Equal(Ids(first), await client.QueryAsync($"{{\"#a\":[\"{article}\"]}}"));
        Assert.Equal(Ids(reply), await client.QueryAsync($"{{\"#e\":[\"{first.Id}\"],\"#k\":[\"1111\"]}}"));
        Assert.Equal(Ids(onPage), await client.QueryAsync("{\"#I\":[\"https://example.com/a\"],\"#K\":[\"web\"]}"));
        Assert.Equal(Ids(onPage, reply, first), await client.QueryAsync("{\"kinds\":[1111]}"));
    }

    private static List<string> Ids(params NostrEvent[] events) => [.. events.Select(evt => evt.Id.ToString())];
}
