using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Push;

[Trait("Spec", "MIP-05")]
public class TriggerTests
{
    private const long Now = 1_780_000_000;

    public static TheoryData<TokenDialect> Dialects => [TokenDialect.Mip05Short, TokenDialect.Mip05Long, TokenDialect.MarmotPushV1];

    [Fact]
    public void Delivers_every_published_request_to_its_devices_and_refuses_the_rest()
    {
        var file = VectorFile.Read("push-requests-446.json");
        var requests = file.GetProperty("requests");
        Assert.Equal(21, requests.GetArrayLength());
        Assert.True(SecretKey.TryCreate(file.Bytes("server_secret_key"), out var server));
        using (server)
        {
            using var opener = new GiftWrapOpener();
            byte[] buffer = new byte[Trigger.MaxContentSize];
            foreach (var request in requests.EnumerateArray())
            {
                string name = request.Text("name");
                Assert.True(NostrEventReader.TryRead(request.GetProperty("wrap").Utf8(), out var wrap, out _), name);
                bool opened = opener.TryOpen(wrap, server, GiftWrapRules.SingleRecipient, out var rumor, out _);
                Assert.Equal(name is not ("seal-author-differs" or "not-for-us"), opened);
                bool wanted = request.TryGetProperty("devices", out var devices);
                Trigger trigger = default;
                Assert.True(wanted == (opened && Trigger.TryRead(rumor, buffer, out trigger, out _)), name);
                if (!wanted)
                {
                    continue;
                }

                Assert.Equal(Now, trigger.CreatedAt);
                Assert.Equal(
                    request.Text("generation"),
                    trigger.Dialect switch { TokenDialect.Mip05Short => "mip05-280", TokenDialect.Mip05Long => "mip05-1084", _ => "marmot-push-v1" });
                var expected = devices.EnumerateArray().Select(d => (d.Text("platform"), d.Text("token"))).ToList();
                Assert.Equal(expected, Decrypt(trigger, server));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Reads_what_it_writes_at_every_count(TokenDialect dialect)
    {
        byte[] buffer = new byte[Trigger.MaxContentSize];
        for (int count = 1; count <= dialect.MaxTokens; count++)
        {
            byte[] tokens = RandomNumberGenerator.GetBytes(count * dialect.TokenSize);
            var rumor = Trigger.CreateRumor(default, dialect, tokens, Now);
            Assert.True(Trigger.TryRead(rumor, buffer, out var trigger, out var reason), reason.ToString());
            Assert.Equal(count, trigger.Count);
            Assert.Equal(dialect, trigger.Dialect);
            Assert.True(trigger.Content.SequenceEqual(tokens));
            Assert.True(trigger[count - 1].SequenceEqual(tokens.AsSpan(^dialect.TokenSize..)));
        }

        Assert.Throws<ArgumentException>(() => Trigger.CreateRumor(default, dialect, new byte[(dialect.MaxTokens + 1) * dialect.TokenSize], Now));
        Assert.Throws<ArgumentException>(() => Trigger.CreateRumor(default, dialect, [], Now));
        Assert.Throws<ArgumentException>(() => Trigger.CreateRumor(default, dialect, new byte[dialect.TokenSize - 1], Now));
    }

    [Fact]
    public void The_length_tells_the_two_mip05_forms_apart_wherever_both_could_be_meant()
    {
        byte[] buffer = new byte[Trigger.MaxContentSize];
        string[][] tags = [["v", "mip05-v1"]];
        for (int length = 1; length <= Trigger.MaxContentSize + 1084; length += length < 3000 ? 1 : 4)
        {
            bool asLong = length % 1084 == 0 && length / 1084 <= 100;
            bool asShort = length % 280 == 0 && length / 280 <= 100;
            Assert.False(asLong && asShort);
            if (asLong || asShort || length % 97 == 0)
            {
                bool read = TryRead(tags, Convert.ToBase64String(new byte[length]), buffer, out var dialect);
                Assert.Equal(asLong || asShort, read);
                Assert.Equal(asLong ? TokenDialect.Mip05Long : asShort ? TokenDialect.Mip05Short : null, dialect);
            }
        }
    }

    // tags; token size; whether the request is read.
    public static TheoryData<string[][], int, bool> TagCases => new()
    {
        { [], 280, true },
        { [], 1084, false },
        { [["encoding", "base64"]], 280, true },
        { [["encoding", "hex"]], 280, false },
        { [["client", "x"]], 280, true },
        { [["v", "mip05-v1"]], 280, true },
        { [["v", "mip05-v1"]], 1084, true },
        { [["encoding", "base64"], ["v", "mip05-v1"]], 1084, true },
        { [["v", "mip05-v1"], ["client", "x"]], 1084, true },
        { [["v", "mip05-v1"], ["v", "mip05-v1"]], 1084, false },
        { [["v", "mip05-v1"], ["v", "marmot-push-v1"]], 1084, false },
        { [["v", "mip05-v1", "x"]], 1084, false },
        { [["v", "mip05-v1"], ["encoding", "hex"]], 1084, false },
        { [["v", "mip05-v1"], ["encoding"]], 1084, false },
        { [["v", "mip05-v1"], ["encoding", "base64"], ["encoding", "base64"]], 1084, false },
        { [["v"]], 1084, false },
        { [["v", ""]], 1084, false },
        { [["v", "mip05-v2"]], 1084, false },
        { [["V", "marmot-push-v1"]], 1084, false },
        { [["v", "marmot-push-v1"]], 1084, true },
        { [["v", "marmot-push-v1"]], 280, false },
        { [["v", "marmot-push-v1"], ["client", "x"]], 1084, false },
        { [["client", "x"], ["v", "marmot-push-v1"]], 1084, false },
    };

    [Theory]
    [MemberData(nameof(TagCases))]
    public void The_tags_decide_the_dialect(string[][] tags, int size, bool read) =>
        Assert.Equal(read, TryRead(tags, Convert.ToBase64String(new byte[size]), new byte[Trigger.MaxContentSize], out _));

    [Fact]
    public void Refuses_every_truncation_of_the_content()
    {
        byte[] buffer = new byte[Trigger.MaxContentSize];
        string content = Convert.ToBase64String(RandomNumberGenerator.GetBytes(2 * 280));
        for (int length = 0; length < content.Length; length++)
        {
            // 280 is no multiple of 3: no prefix of the text is itself a whole padded token.
            Assert.False(TryRead([["v", "mip05-v1"]], content[..length], buffer, out _));
        }

        Assert.True(TryRead([["v", "mip05-v1"]], content, buffer, out _));
    }

    [Fact]
    public void Reads_a_request_whose_json_carries_needless_escapes()
    {
        byte[] tokens = RandomNumberGenerator.GetBytes(2 * 1084);
        string plain = System.Text.Encoding.UTF8.GetString(Trigger.CreateRumor(default, TokenDialect.MarmotPushV1, tokens, Now).ToJson());
        string escaped = plain.Replace("/", "\\/", StringComparison.Ordinal)
            .Replace("+", "\\u002B", StringComparison.Ordinal)
            .Replace("\"v\"", "\"\\u0076\"", StringComparison.Ordinal);
        Assert.NotEqual(plain, escaped);
        Assert.True(NostrEventReader.TryReadUnsigned(System.Text.Encoding.UTF8.GetBytes(escaped), out var view, out _, out _));
        byte[] buffer = new byte[Trigger.MaxContentSize];
        Assert.True(Trigger.TryRead(view, buffer, out var trigger, out var reason), reason.ToString());
        Assert.Equal(TokenDialect.MarmotPushV1, trigger.Dialect);
        Assert.True(trigger.Content.SequenceEqual(tokens));
    }

    [Fact]
    public void One_bad_chunk_does_not_stop_its_siblings()
    {
        using var server = SecretKey.Generate();
        byte[] tokens = new byte[5 * 280];
        for (int i = 0; i < 5; i++)
        {
            byte[] device = new byte[32];
            device[0] = (byte)i;
            Assert.True(EncryptedToken.TryCreate(TokenDialect.Mip05Short, DevicePlatform.Apns, device, server.PublicKey, tokens.AsSpan(i * 280, 280)));
        }

        RandomNumberGenerator.Fill(tokens.AsSpan(280, 280));
        tokens[(4 * 280) - 1] ^= 1;
        byte[] buffer = new byte[Trigger.MaxContentSize];
        Assert.True(Trigger.TryRead(Trigger.CreateRumor(default, TokenDialect.Mip05Short, tokens, Now), buffer, out var trigger, out _));
        Assert.Equal(["00", "02", "04"], Decrypt(trigger, server).Select(d => d.Token[..2]));
    }

    [Fact]
    public void Refuses_another_kind_and_a_buffer_that_is_too_small()
    {
        byte[] buffer = new byte[Trigger.MaxContentSize];
        Assert.False(Trigger.TryRead(Rumor.Create(default, 447, [], Convert.ToBase64String(new byte[280]), Now), buffer, out _, out var reason));
        Assert.Equal("invalid: not a notification request", reason.ToString());
        var rumor = Rumor.Create(default, 446, [], Convert.ToBase64String(new byte[280]), Now);
        Assert.Throws<ArgumentOutOfRangeException>(() => Trigger.TryRead(rumor, new byte[Trigger.MaxContentSize - 1], out _, out _));
    }

    [Fact]
    public void Reads_without_allocation()
    {
        byte[] json = Trigger.CreateRumor(default, TokenDialect.Mip05Long, new byte[10 * 1084], Now).ToJson();
        byte[] buffer = new byte[Trigger.MaxContentSize];
        bool Read() => NostrEventReader.TryReadUnsigned(json, out var view, out _, out _) && Trigger.TryRead(view, buffer, out _, out _);
        Assert.True(Read());
        Assert.Equal(0, Allocation.Of(() => Read()));
    }

    private static bool TryRead(string[][] tags, string content, byte[] buffer, out TokenDialect? dialect)
    {
        bool read = Trigger.TryRead(Rumor.Create(default, Trigger.Kind, tags, content, Now), buffer, out var trigger, out _);
        dialect = read ? trigger.Dialect : null;
        return read;
    }

    private static List<(string Platform, string Token)> Decrypt(Trigger trigger, SecretKey server)
    {
        var devices = new List<(string, string)>();
        byte[] scratch = new byte[TokenDialects.LongPlaintextSize];
        for (int i = 0; i < trigger.Count; i++)
        {
            if (EncryptedToken.TryDecrypt(trigger[i], trigger.Dialect, server, scratch, out var token))
            {
                devices.Add(token.Platform == DevicePlatform.Apns
                    ? ("apns", Convert.ToHexStringLower(token.Value))
                    : ("fcm", System.Text.Encoding.UTF8.GetString(token.Value)));
            }
        }

        return devices;
    }
}
