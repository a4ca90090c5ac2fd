using System.Globalization;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Events;

[Trait("Spec", "NIP-01")]
public sealed class NostrEventReaderTests
{
    private const string Id = "65967ff3e89391dac2e139ee69046b6241ffc5af56423b7ed3907667a4b1c9f8";
    private const string PublicKey = "ab5d2e79cfd621b1b027ffb24e2453ed7fb571ba9a841ff0e2473466cabd168d";

    private static readonly string Signature = new('a', 128);

    [Fact]
    public void Gives_every_member_in_place()
    {
        var json = NostrJson.Utf8(Event(tags: """[["h","g1","x"],["p"],["e",""]]""", content: "a\\nb"));
        Assert.True(NostrEventReader.TryRead(json, out var view, out var reason), reason.ToString());
        Assert.Equal(Id, view.Id.ToString());
        Assert.Equal(PublicKey, view.PublicKey.ToString());
        Assert.Equal((1700000000L, 445), (view.CreatedAt, view.Kind));
        Assert.Equal("a\nb", view.ReadContent());
        Assert.True(view.SignatureHex.SequenceEqual(NostrJson.Utf8(Signature)));
        Assert.True(view.Json.SequenceEqual(json));
        Assert.True(view is { HasCanonicalBytes: true, IsNormalized: true });

        var seen = new List<string>();
        foreach (var tag in view.Tags)
        {
            seen.Add($"{Text(tag.Name)}={Text(tag.Value)} {tag.HasValue} {tag.Count}");
        }

        Assert.Equal(["h=g1 True 3", "p= False 1", "e= True 2"], seen);
        Assert.True(view.TryGetTag("h"u8, out var value) && value.SequenceEqual("g1"u8));
        Assert.False(view.TryGetTag("p"u8, out _));
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""[["a"]]""")]
    [InlineData("""[["a","b"],["c","d","e"]]""")]
    [InlineData("""[["",""]]""")]
    [InlineData("""[["]","["],["\"","\\"]]""")]
    public void Walks_tags_as_a_json_library_does(string tags)
    {
        Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(Event(tags: tags)), out var view, out var reason), reason.ToString());
        Assert.Equal(JsonSerializer.Deserialize<string[][]>(tags), view.ReadTags());
    }

    // What the bytes say, and whether the id may be hashed straight from them, and whether they may be stored as they are.
    [Theory]
    [InlineData("""[["a","b"]]""", "x", true, true)]
    [InlineData("""[["a", "b"]]""", "x", false, false)]
    [InlineData("""[["a","b"] ]""", "x", false, false)]
    [InlineData("""[["a\/b"]]""", "x", false, false)]
    [InlineData("""[["\u0061"]]""", "x", false, false)]
    [InlineData("[]", "\\/", false, false)]
    [InlineData("[]", "\\u00e9", false, false)]
    [InlineData("[]", "\\ud83d\\ude00", false, false)]
    [InlineData("[]", "\\u000a", false, false)]
    [InlineData("[]", "\\u0022", false, false)]
    [InlineData("[]", "\\u007f", false, false)]
    [InlineData("[]", "\\u001F", false, false)]
    [InlineData("[]", "\\u001f\\u0000\\u000b", true, true)]
    [InlineData("[]", "\\n\\\"\\\\\\r\\t\\b\\f", true, true)]
    [InlineData("[]", "/<>&'+\u007f\u2028é😀", true, true)]
    public void Knows_when_the_received_bytes_are_the_hashed_form(string tags, string content, bool canonical, bool normalized)
    {
        Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(Event(tags: tags, content: content)), out var view, out var reason), reason.ToString());
        Assert.Equal(canonical, view.HasCanonicalBytes);
        Assert.Equal(normalized, view.IsNormalized);
    }

    [Fact]
    public void Blanks_outside_the_tags_keep_the_fast_hash_but_are_not_stored()
    {
        var json = NostrJson.Utf8("\r\n\t " + Event().Replace(":", " : ", StringComparison.Ordinal) + " \n");
        Assert.True(NostrEventReader.TryRead(json, out var view, out var reason), reason.ToString());
        Assert.True(view.HasCanonicalBytes);
        Assert.False(view.IsNormalized);
        Assert.Equal(Event(), Text(view.ToNormalizedJson()));
    }

    [Fact]
    public void Unknown_members_are_stepped_over_and_dropped_from_what_is_stored()
    {
        const string Extra = """
            "x":{"a":[1,-2.5e+3,true,false,null,"]}\"",{"b":[]}]},"": [ ] ,
            """;
        var json = Event().Replace("\"kind\"", Extra + "\"kind\"", StringComparison.Ordinal);
        Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(json), out var view, out var reason), reason.ToString());
        Assert.False(view.IsNormalized);
        Assert.Equal(Event(), Text(view.ToNormalizedJson()));
    }

    [Theory]
    [InlineData("created_at", "1.0")]
    [InlineData("created_at", "1e9")]
    [InlineData("created_at", "-0")]
    [InlineData("created_at", "-1")]
    [InlineData("created_at", "01")]
    [InlineData("created_at", "00")]
    [InlineData("created_at", "\"1\"")]
    [InlineData("created_at", "null")]
    [InlineData("created_at", "9007199254740993")]
    [InlineData("created_at", "99999999999999999999999999")]
    [InlineData("kind", "65536")]
    [InlineData("kind", "1.0")]
    [InlineData("kind", "-1")]
    [InlineData("tags", "null")]
    [InlineData("tags", "{}")]
    [InlineData("tags", "[[]]")]
    [InlineData("tags", "[null]")]
    [InlineData("tags", "[[null]]")]
    [InlineData("tags", "[[1]]")]
    [InlineData("tags", "[[\"a\",]]")]
    [InlineData("tags", "[[\"a\"],]")]
    [InlineData("tags", "[\"a\"]")]
    [InlineData("tags", "[[[\"a\"]]]")]
    [InlineData("content", "null")]
    [InlineData("content", "1")]
    [InlineData("content", "\"\\x\"")]
    [InlineData("content", "\"\\u12\"")]
    [InlineData("content", "\"\\ud800\"")]
    [InlineData("content", "\"\\ud800x\"")]
    [InlineData("content", "\"\\ud800\\u0041\"")]
    [InlineData("content", "\"\\udc00\"")]
    [InlineData("content", "\"\u0001\"")]
    [InlineData("content", "\"\n\"")]
    [InlineData("id", "\"65967FF3E89391DAC2E139EE69046B6241FFC5AF56423B7ED3907667A4B1C9F8\"")]
    [InlineData("id", "\"65967f\"")]
    [InlineData("id", "null")]
    [InlineData("pubkey", "\"AB5D2E79CFD621B1B027FFB24E2453ED7FB571BA9A841FF0E2473466CABD168D\"")]
    [InlineData("pubkey", "\"\"")]
    [InlineData("sig", "\"aa\"")]
    [InlineData("sig", "0")]
    public void Refuses_a_bad_member(string name, string value)
    {
        var members = Members();
        members[name] = value;
        AssertRefused(Join(members), name);
    }

    [Theory]
    [InlineData("1 1")]
    [InlineData("")]
    [InlineData("1,")]
    [InlineData("1}")]
    public void Refuses_bytes_that_do_not_belong(string kind)
    {
        var members = Members();
        members["kind"] = kind;
        AssertRefused(Join(members), "");
    }

    [Theory]
    [InlineData("id")]
    [InlineData("pubkey")]
    [InlineData("created_at")]
    [InlineData("kind")]
    [InlineData("tags")]
    [InlineData("content")]
    [InlineData("sig")]
    public void Refuses_a_missing_and_a_repeated_member(string name)
    {
        var members = Members();
        var value = members[name];
        members.Remove(name);
        var missing = Join(members);
        AssertRefused(missing, $"{name} is missing");
        var repeated = Event()[..^1] + $",\"{name}\":{value}}}";
        AssertRefused(repeated, "twice");
        var escaped = Event()[..^1] + $",\"\\u{(int)name[0]:x4}{name[1..]}\":{value}}}";
        AssertRefused(escaped, "twice");
    }

    [Fact]
    public void Reads_an_escaped_member_name_as_the_name_it_spells()
    {
        var json = Event().Replace("\"kind\"", "\"\\u006bind\"", StringComparison.Ordinal);
        Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(json), out var view, out _));
        Assert.Equal(445, view.Kind);
        Assert.False(view.IsNormalized);
        Assert.Equal(Event(), Text(view.ToNormalizedJson()));
    }

    [Fact]
    public void Refuses_invalid_utf8_wherever_it_stands()
    {
        byte[][] bad = [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]];
        var before = NostrJson.Utf8(Event(content: "<"));
        var mark = Array.IndexOf(before, (byte)'<');
        foreach (var bytes in bad)
        {
            byte[] json = [.. before.AsSpan(0, mark), .. bytes, .. before.AsSpan(mark + 1)];
            Assert.False(NostrEventReader.TryRead(json, out _, out var reason));
            Assert.Equal("invalid: the event is not valid UTF-8", reason.ToString());
        }
    }

    [Fact]
    public void Every_truncation_and_every_extra_byte_is_refused()
    {
        var json = NostrJson.Utf8(Event(tags: """[["h","\ud83d\ude00"],["p"]]""", content: "a\\u0001é"));
        Assert.True(NostrEventReader.TryRead(json, out _, out _));
        for (var length = 0; length < json.Length; length++)
        {
            Assert.False(NostrEventReader.TryRead(json.AsSpan(0, length), out _, out var reason), length.ToString(CultureInfo.InvariantCulture));
            Assert.Equal(RejectPrefix.Invalid, reason.Prefix);
        }

        foreach (var extra in "x{}[],\0\"")
        {
            Assert.False(NostrEventReader.TryRead([.. json, (byte)extra], out _, out _));
        }
    }

    [Fact]
    public void Never_accepts_what_a_json_library_refuses_however_a_byte_is_changed()
    {
        var random = new Random(20261121);
        var alphabet = "\"\\[]{},:0123456789abcdefu/\t \u0001"u8.ToArray();
        var source = NostrJson.Utf8(Event(tags: """[["h","\u00e9"],["p"]]""", content: "a\\nb"));
        var accepted = 0;
        for (var i = 0; i < 30_000; i++)
        {
            var json = source.ToArray();
            for (var changes = random.Next(1, 3); changes > 0; changes--)
            {
                json[random.Next(json.Length)] = alphabet[random.Next(alphabet.Length)];
            }

            if (!NostrEventReader.TryRead(json, out var view, out _))
            {
                continue;
            }

            accepted++;
            using var model = JsonDocument.Parse(json);
            Assert.Equal(model.RootElement.GetProperty("content").GetString(), view.ReadContent());
            Assert.Equal(model.RootElement.GetProperty("kind").GetInt32(), view.Kind);
            Assert.Equal(model.RootElement.GetProperty("tags").Deserialize<string[][]>(), view.ReadTags());
            Assert.True(NostrEventReader.TryRead(view.ToNormalizedJson(), out var again, out _));
            Assert.True(again.IsNormalized);
            Assert.Equal(view.ReadContent(), again.ReadContent());
        }

        Assert.InRange(accepted, 1_000, 29_000);
    }

    [Fact]
    public void Deep_nesting_in_an_unknown_member_is_refused_not_followed()
    {
        var fits = new string('[', JsonCursor.MaxDepth) + new string(']', JsonCursor.MaxDepth);
        var deep = $"[{fits}]";
        Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(Event().Replace("\"kind\"", $"\"x\":{fits},\"kind\"", StringComparison.Ordinal)), out _, out _));
        AssertRefused(Event().Replace("\"kind\"", $"\"x\":{deep},\"kind\"", StringComparison.Ordinal), "JSON");
    }

    [Fact]
    public void Reading_and_hashing_allocate_nothing()
    {
        var large = NostrJson.Utf8(Event(content: new string('x', 20_000)));
        var slow = NostrJson.Utf8(Event(tags: """[["a", "\/"]]""", content: "\\u00e9"));
        var fast = NostrJson.Utf8(Event(tags: """[["h","g"],["p","q"]]"""));
        Run();
        Run();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            Run();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Run()
        {
            foreach (var json in (ReadOnlySpan<byte[]>)[fast, slow, large])
            {
                NostrEventReader.TryRead(json, out var view, out _);
                EventVerifier.IsIdCorrect(view);
                foreach (var tag in view.Tags)
                {
                    _ = tag.Count;
                }
            }
        }
    }

    [Fact]
    public void An_event_made_here_reads_back_and_verifies()
    {
        using var key = SecretKey.Generate();
        var random = new Random(7);
        for (var i = 0; i < 200; i++)
        {
            var content = RandomText(random);
            string[][] tags = [["h", RandomText(random)], ["x"], [RandomText(random), RandomText(random), ""]];
            var evt = NostrEvent.Create(key, random.Next(65536), tags, content, random.NextInt64(NostrEventView.MaxCreatedAt));
            Assert.True(evt.TryVerify(out var reason), reason.ToString());
            Assert.Equal(content, evt.Content);
            Assert.Equal(tags, evt.Tags);
            Assert.Equal(tags[0][1], evt.TagValue("h"));
            Assert.Null(evt.TagValue("x"));
            using var model = JsonDocument.Parse(evt.Json);
            Assert.Equal(content, model.RootElement.GetProperty("content").GetString());
            Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
            Assert.True(view.IsNormalized);
        }
    }

    [Fact]
    public void Refuses_to_make_an_event_outside_the_protocol()
    {
        using var key = SecretKey.Generate();
        Assert.Throws<ArgumentOutOfRangeException>(() => NostrEvent.Create(key, 65536, [], "", 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => NostrEvent.Create(key, 1, [], "", -1));
        Assert.Throws<ArgumentException>(() => NostrEvent.Create(key, 1, [[]], "", 0));
    }

    private static string RandomText(Random random)
    {
        var text = new StringBuilder();
        for (var i = random.Next(12); i > 0; i--)
        {
            text.Append(random.Next(5) switch
            {
                0 => ((char)random.Next(0x20)).ToString(),
                1 => ((char)random.Next(0x20, 0x80)).ToString(),
                2 => ((char)random.Next(0x80, 0xD800)).ToString(),
                3 => char.ConvertFromUtf32(random.Next(0x10000, 0x110000)),
                _ => "\"",
            });
        }

        return text.ToString();
    }

    private static void AssertRefused(string json, string expectedText)
    {
        Assert.False(NostrEventReader.TryRead(NostrJson.Utf8(json), out _, out var reason), json);
        Assert.Equal(RejectPrefix.Invalid, reason.Prefix);
        Assert.Contains(expectedText, reason.Text, StringComparison.Ordinal);
    }

    private static Dictionary<string, string> Members(string tags = "[]", string content = "x") => new()
    {
        ["id"] = $"\"{Id}\"",
        ["pubkey"] = $"\"{PublicKey}\"",
        ["created_at"] = "1700000000",
        ["kind"] = "445",
        ["tags"] = tags,
        ["content"] = $"\"{content}\"",
        ["sig"] = $"\"{Signature}\"",
    };

    private static string Join(Dictionary<string, string> members) =>
        "{" + string.Join(',', members.Select(member => $"\"{member.Key}\":{member.Value}")) + "}";

    private static string Event(string tags = "[]", string content = "x") => Join(Members(tags, content));

    private static string Text(ReadOnlySpan<byte> utf8) => System.Text.Encoding.UTF8.GetString(utf8);
}
