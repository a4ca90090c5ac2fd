using System.Globalization;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Ingest;

/// <summary>Rules read tags as the event is stored: however JSON lets a client spell a name or a value, it is the same tag.</summary>
public sealed class TagSpellingTests : IDisposable
{
    private const long Now = 1_700_000_500;
    private readonly SecretKey _key = SecretKey.Generate();
    private readonly SecretKey _other = SecretKey.Generate();

    /// <summary>Ways to write a string; the first is the one that NIP-01 hashes.</summary>
    private static readonly (string Name, Func<string, string> Spell)[] Spellings =
    [
        ("plain", text => text),
        ("lower-case escapes", text => Escape(text, "x4")),
        ("upper-case escapes", text => Escape(text, "X4")),
        ("first character escaped", text => Escape(text[..1], "x4") + text[1..]),
        ("last character escaped", text => text[..^1] + Escape(text[^1..], "x4")),
        ("escaped slashes", text => text.Replace("/", "\\/", StringComparison.Ordinal)),
    ];

    public static TheoryData<string> Names => [.. Spellings.Select(spelling => spelling.Name)];

    public void Dispose()
    {
        _key.Dispose();
        _other.Dispose();
    }

    private static string Escape(string text, string format) =>
        string.Concat(text.Select(c => "\\u" + ((int)c).ToString(format, CultureInfo.InvariantCulture)));

    private static string Text(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span);

    // The event with its tags in another spelling; id and signature hold, since they are over the canonical form.
    private static string Respell(NostrEvent evt, string spelling)
    {
        var spell = Spellings.Single(s => s.Name == spelling).Spell;
        var tags = "["
            + string.Join(',',
                evt.Tags.Select(tag => "[" + string.Join(',', tag.Select(item => $"\"{(item.Length == 0 ? item : spell(item))}\"")) + "]")) + "]";
        using var json = JsonDocument.Parse(evt.Json);
        return Text(evt).Replace(json.RootElement.GetProperty("tags").GetRawText(), tags, StringComparison.Ordinal);
    }

    private NostrEvent Make(int kind, string[][] tags, string content = "", long at = Now) => NostrEvent.Create(_key, kind, tags, content, at);

    private static string Group => new('a', 64);

    /// <summary>One event for each rule that refuses by a tag, and the prefix of the refusal.</summary>
    public static TheoryData<string, string, string> Refused
    {
        get
        {
            var data = new TheoryData<string, string, string>();
            foreach (var (rule, prefix) in new[]
            {
                ("protected", "auth-required"), ("expired", "invalid"), ("vanish elsewhere", "invalid"), ("work below its target", "pow"),
                ("two groups", "invalid"), ("no group", "invalid"), ("repost of a protected event", "blocked"),
            })
            {
                foreach (var spelling in Spellings)
                {
                    data.Add(rule, prefix, spelling.Name);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Refused))]
    [Trait("Spec", "NIP-01")]
    [Trait("Clock", "Date")]
    public async Task A_rule_refuses_in_every_spelling(string rule, string prefix, string spelling)
    {
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:AuthWait=0", rule.StartsWith("work", StringComparison.Ordinal)
            ? "--Relay:MinProofOfWork=4"
            : "--Relay:MinProofOfWork=0");
        await using var client = await relay.ConnectAsync();
        var evt = rule switch
        {
            "protected" => Make(1, [["-"]]),
            "expired" => Make(1, [["expiration", $"{Now - 1}"]]),
            "vanish elsewhere" => Make(62, [["relay", "wss://elsewhere.example/"]]),
            "work below its target" => Mine(),
            "two groups" => Make(445, [["h", Group], ["h", new string('b', 64)]]),
            "no group" => Make(445, [["H", Group]]),
            _ => Make(6, [["e", new string('1', 64)]], Respell(NostrEvent.Create(_other, 1, [["-"]], "mine", Now), spelling)),
        };
        var (accepted, text) = await client.PublishAsync(Respell(evt, spelling));
        Assert.False(accepted);
        Assert.StartsWith(prefix + ": ", text, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Names))]
    [Trait("Spec", "NIP-01")]
    [Trait("Clock", "Date")]
    public async Task A_tag_has_its_effect_in_every_spelling(string spelling)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        async Task PublishAsync(NostrEvent evt)
        {
            var (accepted, text) = await client.PublishAsync(Respell(evt, spelling));
            Assert.True(accepted, text);
        }

        // h: found by its group. Deleted by e, and by a.
        var message = Make(445, [["h", Group]]);
        await PublishAsync(message);
        Assert.Equal([message.Id.ToString()], await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}"));
        await PublishAsync(Make(5, [["e", message.Id.ToString()]]));
        Assert.Empty(await client.QueryAsync($"{{\"#h\":[\"{Group}\"]}}"));

        // d: the slot is one, in whatever spelling.
        var (first, second) = (Make(30443, [["d", "a/b"]], at: Now - 2), Make(30443, [["d", "a/b"]], at: Now - 1));
        await PublishAsync(first);
        Assert.True((await client.PublishAsync(second)).Accepted);
        Assert.Equal([second.Id.ToString()], await client.QueryAsync("{\"kinds\":[30443]}"));
        await PublishAsync(Make(5, [["a", $"30443:{_key.PublicKey}:a/b"]]));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[30443]}"));

        // expiration: gone when it is over.
        var passing = Make(1, [["expiration", $"{Now + 10}"]]);
        await PublishAsync(passing);
        relay.Clock.Set(DateTimeOffset.FromUnixTimeSeconds(Now + 11));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}"));
        relay.Clock.Set(DateTimeOffset.FromUnixTimeSeconds(Now));

        // p: a gift wrap is its recipient's alone.
        var wrap = NostrEvent.Create(_other, 1059, [["p", _key.PublicKey.ToString()]], "sealed", Now);
        await PublishAsync(wrap);
        Assert.Empty(await client.QueryAsync($"{{\"ids\":[\"{wrap.Id}\"]}}"));
        Assert.True((await client.AuthenticateAsync(_key, relay.Clock.GetUtcNow())).Accepted);
        Assert.Single(await client.QueryAsync($"{{\"kinds\":[1059],\"#p\":[\"{_key.PublicKey}\"]}}"));

        // -: taken from its author. relay: the vanish request is for us.
        var mine = Make(1, [["-"]], "mine");
        await PublishAsync(mine);
        Assert.Single(await client.QueryAsync($"{{\"ids\":[\"{mine.Id}\"]}}"));
        await PublishAsync(Make(62, [["relay", RelayHost.Origin]]));
        Assert.Empty(await client.QueryAsync($"{{\"ids\":[\"{mine.Id}\"]}}"));
    }

    [Theory]
    [MemberData(nameof(Names))]
    [Trait("Spec", "NIP-42")]
    public async Task An_authentication_counts_in_every_spelling(string spelling)
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        var auth = RelayAuth.Create(_key, RelayHost.Origin, await client.ProvokeChallengeAsync(), relay.Clock.GetUtcNow());
        using var held = relay.HoldDate();
        await client.SendAsync($"[\"AUTH\",{Respell(auth, spelling)}]");
        var (accepted, text) = await client.ReceiveOkAsync();
        Assert.True(accepted, text);
    }

    // Enough zero bits, but it names a smaller target.
    private NostrEvent Mine()
    {
        for (var i = 0; ; i++)
        {
            var evt = Make(1, [["nonce", $"{i}", "1"]]);
            if (evt.Id.Span[0] < 16)
            {
                return evt;
            }
        }
    }
}
