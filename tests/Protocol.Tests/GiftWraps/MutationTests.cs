using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Protocol.Tests.GiftWraps;

/// <summary>Hostile input at every depth: whoever knows the recipient's public key can encrypt anything to it.</summary>
[Trait("Spec", "NIP-59")]
public sealed class MutationTests : IDisposable
{
    private const long Now = 1_780_000_000;
    private readonly SecretKey _sender = SecretKey.Generate();
    private readonly SecretKey _server = SecretKey.Generate();

    [Fact]
    public void A_mutated_rumor_is_refused_or_reads_as_what_it_says()
    {
        byte[] json = Trigger.CreateRumor(_sender.PublicKey, TokenDialect.Mip05Short, new byte[280], Now).ToJson();
        var random = new Random(4);
        byte[] buffer = new byte[Trigger.MaxContentSize];
        int opened = 0;
        using var opener = new GiftWrapOpener();
        for (int i = 0; i < 1500; i++)
        {
            byte[] wrap = Wrap(Mutate(json, random));
            Assert.True(NostrEventReader.TryRead(wrap, out var view, out _));
            if (opener.TryOpen(view, _server, GiftWrapRules.WrapIsVerified, out var rumor, out var reason))
            {
                opened++;
                Assert.Equal(_sender.PublicKey, rumor.PublicKey);
                Assert.True(EventVerifier.IsIdCorrect(rumor));
                if (Trigger.TryRead(rumor, buffer, out var trigger, out _))
                {
                    Assert.Equal(trigger.Content.Length, trigger.Count * trigger.Dialect.TokenSize);
                }
            }
            else
            {
                Assert.NotEmpty(reason.Text);
                Assert.True(rumor.Json.IsEmpty);
            }
        }

        // The id guards every byte but blanks and unknown members; a few mutations hit nothing that counts.
        Assert.InRange(opened, 0, 150);
    }

    [Fact]
    public void Mutated_rumors_without_an_id_never_break_the_trigger_reader()
    {
        string json =
            $$"""{"pubkey":"{{_sender.PublicKey}}","created_at":{{Now}}"""
                + $$""","kind":446,"tags":[["v","mip05-v1"],["encoding","base64"]],"content":"{{Convert.ToBase64String(new byte[560])}}"}""";
        byte[] original = System.Text.Encoding.UTF8.GetBytes(json);
        var random = new Random(5);
        byte[] buffer = new byte[Trigger.MaxContentSize];
        int read = 0;
        for (int i = 0; i < 100_000; i++)
        {
            if (NostrEventReader.TryReadUnsigned(Mutate(original, random), out var rumor, out _, out _)
                && Trigger.TryRead(rumor, buffer, out var trigger, out _))
            {
                read++;
                Assert.Equal(trigger.Content.Length, trigger.Count * trigger.Dialect.TokenSize);
            }
        }

        Assert.InRange(read, 10_000, 99_000);
    }

    [Fact]
    public void Mutated_payloads_never_decrypt()
    {
        byte[] key = new byte[32];
        byte[] payload = new byte[Nip44.GetPayloadLength(200)];
        Nip44.Encrypt(key, new byte[200], payload);
        var random = new Random(6);
        byte[] buffer = new byte[payload.Length + 16];
        for (int i = 0; i < 100_000; i++)
        {
            byte[] mutated = Mutate(payload, random);
            if (!mutated.AsSpan().SequenceEqual(payload))
            {
                Assert.False(Nip44.TryDecrypt(key, mutated, buffer, out _));
            }
        }
    }

    [Fact]
    public void Mutated_tokens_never_decrypt()
    {
        byte[] chunk = new byte[280];
        Assert.True(EncryptedToken.TryCreate(TokenDialect.Mip05Short, DevicePlatform.Apns, new byte[32], _server.PublicKey, chunk));
        var random = new Random(7);
        byte[] scratch = new byte[220];
        for (int i = 0; i < 5_000; i++)
        {
            byte[] mutated = Mutate(chunk, random);
            if (!mutated.AsSpan().SequenceEqual(chunk))
            {
                Assert.False(EncryptedToken.TryDecrypt(mutated, TokenDialect.Mip05Short, _server, scratch, out _));
                Assert.False(scratch.AsSpan().ContainsAnyExcept((byte)0));
            }
        }
    }

    public void Dispose()
    {
        _sender.Dispose();
        _server.Dispose();
    }

    // One to three edits: a byte changed, removed, doubled, or the tail cut.
    private static byte[] Mutate(byte[] source, Random random)
    {
        var bytes = new List<byte>(source);
        for (int edits = random.Next(1, 4); edits > 0 && bytes.Count > 1; edits--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(8))
            {
                case 0:
                    bytes.RemoveAt(at);
                    break;
                case 1:
                    bytes.Insert(at, bytes[at]);
                    break;
                case 2 when random.Next(10) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                default:
                    bytes[at] = (byte)random.Next(0x20, 0x80);
                    break;
            }
        }

        return [.. bytes];
    }

    private byte[] Wrap(byte[] inner)
    {
        byte[] key = new byte[32];
        Assert.True(Nip44.TryDeriveConversationKey(_sender, _server.PublicKey, key));
        var seal = NostrEvent.Create(_sender, GiftWrap.SealKind, [], Encrypt(key, inner), Now);
        return NostrEvent.Create(_sender, GiftWrap.Kind, [["p", _server.PublicKey.ToString()]], Encrypt(key, seal.Json.Span), Now).Json.ToArray();
    }

    private static string Encrypt(byte[] key, ReadOnlySpan<byte> plaintext)
    {
        byte[] payload = new byte[Nip44.GetPayloadLength(plaintext.Length)];
        Nip44.Encrypt(key, plaintext, payload);
        return System.Text.Encoding.ASCII.GetString(payload);
    }
}
