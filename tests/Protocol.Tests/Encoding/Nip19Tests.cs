using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Encoding;

[Trait("Spec", "NIP-19")]
public sealed class Nip19Tests
{
    private static readonly Bytes32 Key = Bytes32.ParseHex("3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d");

    // The examples printed in NIP-19.
    [Theory]
    [InlineData("npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg", "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e")]
    [InlineData("npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6", "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d")]
    public void Reads_and_writes_the_printed_public_keys(string npub, string hex)
    {
        Assert.True(Nip19.TryDecodePublicKey(npub, out var key));
        Assert.Equal(hex, key.ToString());
        Assert.Equal(npub, Nip19.EncodePublicKey(key));
        Assert.True(Nip19.TryDecodePublicKey(npub.ToUpperInvariant(), out _));
        Assert.True(Nip19.TryDecodePublicKeyOrHex(npub, out var again) && again == key);
        Assert.True(Nip19.TryDecodePublicKeyOrHex(hex, out again) && again == key);
    }

    [Fact]
    public void Reads_and_writes_the_printed_secret_key()
    {
        const string Nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
        const string SecretHex = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa";
        var secret = new byte[32];
        Assert.True(Nip19.TryDecodeSecretKey(Nsec, secret));
        Assert.Equal(SecretHex, Convert.ToHexStringLower(secret));
        Assert.Equal(Nsec, Nip19.EncodeSecretKey(secret));
        Assert.True(SecretKey.TryParse(Nsec, out var fromNsec));
        Assert.True(SecretKey.TryParse(SecretHex, out var fromHex));
        using (fromNsec)
        using (fromHex)
        {
            Assert.Equal(fromHex.PublicKey, fromNsec.PublicKey);
        }

        Assert.False(SecretKey.TryParse(Nip19.EncodePublicKey(Key), out _));
        Assert.False(SecretKey.TryParse(SecretHex.ToUpperInvariant(), out _));
        Assert.False(SecretKey.TryParse(new string('0', 64), out _));
        Assert.False(SecretKey.TryParse("", out _));
    }

    [Fact]
    public void Reads_the_printed_profile()
    {
        const string Text = "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv34kytnrdak"
            + "sjlyr9p";
        Assert.True(Nip19.TryDecodeProfile(Text, out var profile));
        Assert.Equal(Key, profile.PublicKey);
        Assert.Equal(["wss://r.x.com", "wss://djbas.sadkb.com"], profile.Relays);
        Assert.Equal(Text, Nip19.EncodeProfile(profile));
    }

    [Fact]
    public void Pointers_read_back_as_they_were_written()
    {
        Nip19Event[] events = [new(Key, []), new(Key, ["wss://a", "wss://b"], Key, 30443), new(Key, ["ws://é"], null, 0)];
        foreach (var written in events)
        {
            Assert.True(Nip19.TryDecodeEvent(Nip19.EncodeEvent(written), out var read));
            Assert.Equal((written.Id, written.Author, written.Kind), (read.Id, read.Author, read.Kind));
            Assert.Equal(written.Relays, read.Relays);
        }

        var address = new Nip19Address("d-é", Key, 30443, ["wss://a"]);
        Assert.True(Nip19.TryDecodeAddress(Nip19.EncodeAddress(address), out var readAddress));
        Assert.Equal((address.Identifier, address.Author, address.Kind), (readAddress.Identifier, readAddress.Author, readAddress.Kind));
        Assert.True(Nip19.TryDecodeNote(Nip19.EncodeNote(Key), out var note));
        Assert.Equal(Key, note);
    }

    [Fact]
    public void One_wrong_character_anywhere_is_noticed()
    {
        var npub = Nip19.EncodePublicKey(Key);
        for (var i = 0; i < npub.Length; i++)
        {
            foreach (var c in "qp1bQ é")
            {
                if (c != npub[i])
                {
                    Assert.False(Nip19.TryDecodePublicKey(npub[..i] + c + npub[(i + 1)..], out _), $"{i} {c}");
                }
            }
        }
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        var texts = new[] { Nip19.EncodePublicKey(Key), Nip19.EncodeEvent(new Nip19Event(Key, ["wss://a"], Key, 1)) };
        foreach (var text in texts)
        {
            for (var length = 0; length < text.Length; length++)
            {
                Assert.False(Nip19.TryDecodePublicKey(text.AsSpan(0, length), out _));
                Assert.False(Nip19.TryDecodeEvent(text.AsSpan(0, length), out _));
            }
        }
    }

    [Fact]
    public void Pointers_need_their_parts_and_skip_unknown_ones()
    {
        byte[] id = [0, 32, .. Key.Span];
        byte[] author = [2, 32, .. Key.Span];
        byte[] kind = [3, 4, 0, 0, 0, 1];
        byte[] badKind = [3, 4, 0, 1, 0, 0];
        byte[] unknown = [9, 1, 7];
        Assert.True(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. unknown, .. id]), out _));
        Assert.False(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. unknown]), out _));
        Assert.False(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. id, .. id]), out _));
        Assert.False(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. id, .. badKind]), out _));
        Assert.False(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. id, 1, 9]), out _));
        Assert.False(Nip19.TryDecodeEvent(Bech32.Encode("nevent", [.. id, 1, 1, 0xFF]), out _));
        Assert.False(Nip19.TryDecodeProfile(Bech32.Encode("nevent", id), out _));
        Assert.False(Nip19.TryDecodeAddress(Bech32.Encode("naddr", [0, 0, .. author]), out _));
        Assert.False(Nip19.TryDecodeAddress(Bech32.Encode("naddr", [0, 0, .. kind]), out _));
        Assert.True(Nip19.TryDecodeAddress(Bech32.Encode("naddr", [0, 0, .. author, .. kind]), out _));
        Assert.False(Nip19.TryDecodeEvent(new string('q', Nip19.MaxTextLength + 1), out _));
    }
}
