using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Encryption;
using Microsoft.Extensions.Time.Testing;

namespace Marmot.Protocol.Tests.GiftWraps;

[Trait("Spec", "NIP-59")]
public sealed class GiftWrapTests : IDisposable
{
    private const long Now = 1_780_000_000;
    private readonly SecretKey _alice = SecretKey.Generate();
    private readonly SecretKey _bob = SecretKey.Generate();
    private readonly FakeTimeProvider _clock = new(DateTimeOffset.FromUnixTimeSeconds(Now));

    [Fact]
    public void Bob_reads_what_alice_wrapped_and_nobody_else_can()
    {
        var rumor = Rumor.Create(_alice.PublicKey, 14, [["p", _bob.PublicKey.ToString()], ["subject", "é\"\n"]], "Hallo 🦄 \\ \u2028", Now);
        var wrap = GiftWrap.Create(rumor, _alice, _bob.PublicKey, _clock);

        Assert.True(wrap.TryVerify(out _));
        Assert.NotEqual(_alice.PublicKey, wrap.PublicKey);
        Assert.Equal(["p", _bob.PublicKey.ToString()], Assert.Single(wrap.Tags));
        Assert.True(GiftWrap.TryOpen(wrap, _bob, out var opened, out _, GiftWrapRules.SingleRecipient));
        Assert.Equal(rumor.Id, opened.Id);
        Assert.Equal(rumor.Content, opened.Content);
        Assert.Equal(rumor.Tags, opened.Tags);
        Assert.False(GiftWrap.TryOpen(wrap, _alice, out _, out var reason));
        Assert.Equal("invalid: the gift wrap is not for this key", reason.ToString());
    }

    [Fact]
    public void Opens_a_rumor_beyond_the_old_length_limit()
    {
        var rumor = Rumor.Create(_alice.PublicKey, 444, [], new string('x', 90_000), Now);
        var wrap = GiftWrap.Create(rumor, _alice, _bob.PublicKey, _clock);
        Assert.True(GiftWrap.TryOpen(wrap, _bob, out var opened, out var reason), reason.ToString());
        Assert.Equal(rumor.Id, opened.Id);
    }

    [Fact]
    public void Dates_lie_within_two_days_back_and_are_independent()
    {
        var rumor = Rumor.Create(_alice.PublicKey, 1, [], "x", Now);
        var dates = new HashSet<long>();
        for (int i = 0; i < 50; i++)
        {
            var wrap = GiftWrap.Create(rumor, _alice, _bob.PublicKey, _clock);
            Assert.InRange(wrap.CreatedAt, Now - GiftWrap.MaxBackdateSeconds, Now);
            dates.Add(wrap.CreatedAt);
        }

        Assert.True(dates.Count > 40);
    }

    [Fact]
    public void Takes_the_ephemeral_kind_only_when_asked()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], "x", Now), _alice, _bob.PublicKey, _clock, ephemeral: true);
        Assert.Equal(GiftWrap.EphemeralKind, wrap.Kind);
        Assert.False(GiftWrap.TryOpen(wrap, _bob, out _, out _));
        Assert.True(GiftWrap.TryOpen(wrap, _bob, out _, out _, GiftWrapRules.AcceptEphemeral));
    }

    [Fact]
    public void Refuses_other_kinds_before_any_decryption()
    {
        var wrap = NostrEvent.Create(_alice, 1060, [["p", _bob.PublicKey.ToString()]], "x", Now);
        Assert.False(GiftWrap.TryOpen(wrap, _bob, out _, out var reason, GiftWrapRules.AcceptEphemeral));
        Assert.Equal("invalid: not a gift wrap", reason.ToString());
    }

    [Fact]
    public void Refuses_a_wrap_whose_signature_is_wrong_unless_it_was_checked_before()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], "x", Now), _alice, _bob.PublicKey, _clock);
        var forged = Edit(wrap, json => json.Replace($"\"created_at\":{wrap.CreatedAt}", $"\"created_at\":{wrap.CreatedAt - 1}", StringComparison.Ordinal));
        Assert.False(GiftWrap.TryOpen(forged, _bob, out _, out var reason));
        Assert.Equal("invalid: the gift wrap's id or signature is wrong", reason.ToString());
        Assert.True(GiftWrap.TryOpen(forged, _bob, out _, out _, GiftWrapRules.WrapIsVerified));
    }

    [Fact]
    public void Opens_a_wrap_whose_content_carries_needless_escapes()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], new string('y', 3000), Now), _alice, _bob.PublicKey, _clock);
        var escaped = Edit(wrap, json => json.Replace("/", "\\/", StringComparison.Ordinal).Replace("+", "\\u002B", StringComparison.Ordinal));
        Assert.True(GiftWrap.TryOpen(escaped, _bob, out var opened, out var reason), reason.ToString());
        Assert.Equal(new string('y', 3000), opened.Content);
    }

    [Fact]
    public void Computes_the_id_of_a_rumor_that_has_none()
    {
        string json = $$"""{"pubkey":"{{_alice.PublicKey}}","created_at":{{Now}},"kind":1,"tags":[],"content":"no id"}""";
        var wrap = Wrap(json);
        Assert.True(GiftWrap.TryOpen(wrap, _bob, out var rumor, out var reason), reason.ToString());
        Assert.Equal(Rumor.Create(_alice.PublicKey, 1, [], "no id", Now).Id, rumor.Id);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"pubkey\":\"")]
    public void Refuses_a_seal_around_something_else(string inner)
    {
        // NIP-44 has no empty plaintext; a blank stands for it.
        Assert.False(GiftWrap.TryOpen(Wrap(inner.Length == 0 ? " " : inner), _bob, out _, out var reason));
        Assert.Equal("invalid: the seal holds no unsigned event", reason.ToString());
    }

    [Fact]
    public void Refuses_a_wrap_truncated_anywhere_in_its_content()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], "x", Now), _alice, _bob.PublicKey, _clock);
        using var opener = new GiftWrapOpener();
        for (int length = 0; length < wrap.Content.Length; length += 7)
        {
            var cut = Edit(wrap, json => json.Replace(wrap.Content, wrap.Content[..length], StringComparison.Ordinal));
            Assert.True(NostrEventReader.TryRead(cut.Json.Span, out var view, out _));
            Assert.False(opener.TryOpen(view, _bob, GiftWrapRules.WrapIsVerified, out _, out var reason));
            Assert.Equal("invalid: the gift wrap cannot be decrypted", reason.ToString());
        }
    }

    [Fact]
    public void Refuses_content_above_the_bound()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], "x", Now), _alice, _bob.PublicKey, _clock);
        Assert.True(NostrEventReader.TryRead(wrap.Json.Span, out var view, out _));
        using var exact = new GiftWrapOpener(wrap.Content.Length);
        Assert.True(exact.TryOpen(view, _bob, GiftWrapRules.None, out _, out _));
        using var small = new GiftWrapOpener(wrap.Content.Length - 1);
        Assert.False(small.TryOpen(view, _bob, GiftWrapRules.None, out _, out _));
    }

    [Fact]
    public void Only_the_author_can_seal_and_only_to_a_real_key()
    {
        var rumor = Rumor.Create(_bob.PublicKey, 1, [], "x", Now);
        Assert.Throws<ArgumentException>(() => GiftWrap.Create(rumor, _alice, _bob.PublicKey, _clock));
        Assert.Throws<ArgumentException>(() => GiftWrap.Create(rumor, _bob, default, _clock));
    }

    [Fact]
    public void Wipes_the_rumor_on_the_next_call_on_wipe_and_on_failure()
    {
        const string Secret = "a secret that must not stay in memory";
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], Secret, Now), _alice, _bob.PublicKey, _clock);
        Assert.True(NostrEventReader.TryRead(wrap.Json.Span, out var view, out _));
        using var opener = new GiftWrapOpener();

        Assert.True(opener.TryOpen(view, _bob, GiftWrapRules.None, out var rumor, out _));
        Assert.True(Holds(rumor.Json, Secret));
        var place = rumor.Json;
        opener.Wipe();
        Assert.All(place.ToArray(), b => Assert.Equal(0, b));

        Assert.True(opener.TryOpen(view, _bob, GiftWrapRules.None, out rumor, out _));
        place = rumor.Json;
        Assert.False(opener.TryOpen(view, _alice, GiftWrapRules.None, out _, out _));
        Assert.All(place.ToArray(), b => Assert.Equal(0, b));
    }

    [Fact]
    public void Opens_wrap_after_wrap_without_allocation()
    {
        var wrap = GiftWrap.Create(Rumor.Create(_alice.PublicKey, 1, [], "x", Now), _alice, _bob.PublicKey, _clock);
        byte[] json = wrap.Json.ToArray();
        using var opener = new GiftWrapOpener();
        Assert.True(Open(opener, json));
        Assert.Equal(0, Allocation.Of(() => Open(opener, json)));
    }

    public void Dispose()
    {
        _alice.Dispose();
        _bob.Dispose();
    }

    private bool Open(GiftWrapOpener opener, byte[] json) =>
        NostrEventReader.TryRead(json, out var view, out _) && opener.TryOpen(view, _bob, GiftWrapRules.None, out _, out _);

    private NostrEvent Wrap(string inner)
    {
        Assert.True(ConversationKey.TryDerive(_alice, _bob.PublicKey, out var sealKey));
        using var oneTime = SecretKey.Generate();
        Assert.True(ConversationKey.TryDerive(oneTime, _bob.PublicKey, out var wrapKey));
        using (sealKey)
        using (wrapKey)
        {
            var seal = NostrEvent.Create(_alice, GiftWrap.SealKind, [], Nip44.Encrypt(sealKey, inner), Now);
            string content = Nip44.Encrypt(wrapKey, System.Text.Encoding.UTF8.GetString(seal.Json.Span));
            return NostrEvent.Create(oneTime, GiftWrap.Kind, [["p", _bob.PublicKey.ToString()]], content, Now);
        }
    }

    private static NostrEvent Edit(NostrEvent evt, Func<string, string> edit)
    {
        byte[] json = System.Text.Encoding.UTF8.GetBytes(edit(System.Text.Encoding.UTF8.GetString(evt.Json.Span)));
        Assert.True(NostrEvent.TryParse(json, out var edited, out var reason), reason.ToString());
        return edited;
    }

    private static bool Holds(ReadOnlySpan<byte> bytes, string text) => bytes.IndexOf(System.Text.Encoding.UTF8.GetBytes(text)) >= 0;
}
