using System.Globalization;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Events;

/// <summary>One event has many legal spellings; each must verify; what is not in plain form is stored as the same bytes.</summary>
[Trait("Spec", "NIP-01")]
public sealed class EventSpellingTests
{
    [Fact]
    public void Any_legal_spelling_of_an_event_verifies_and_is_stored_in_plain_form()
    {
        using var key = SecretKey.Generate();
        var random = new Random(20261121);
        var canonical = 0;
        for (var i = 0; i < 50; i++)
        {
            var evt = NostrEvent.Create(
                key, random.Next(65536), RandomTags(random), RandomText(random), random.NextInt64(NostrEventView.MaxCreatedAt));
            for (var j = 0; j < 60; j++)
            {
                var spelling = new Speller(random).Spell(evt);
                var json = NostrJson.Utf8(spelling);
                Assert.True(NostrEventReader.TryRead(json, out var view, out var reason), $"{reason}: {spelling}");
                Assert.True(EventVerifier.IsIdCorrect(view), spelling);
                Assert.Equal(j % 20 == 0, j % 20 == 0 && EventVerifier.TryVerify(view, out _));
                Assert.Equal(view.IsNormalized ? json : evt.Json.ToArray(), view.ToNormalizedJson());
                canonical += view.HasCanonicalBytes ? 1 : 0;
            }
        }

        Assert.InRange(canonical, 300, 2_700); // both paths were walked
    }

    [Fact]
    public void An_event_changed_in_any_byte_of_meaning_does_not_verify()
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, 445, [["h", "g"], ["p", ""]], "content", 1700000000);
        var json = evt.Json.ToArray();
        for (var i = 0; i < json.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                json[i] ^= (byte)(1 << bit);
                var accepted = NostrEventReader.TryRead(json, out var view, out _) && EventVerifier.TryVerify(view, out _);
                Assert.False(accepted, i.ToString(CultureInfo.InvariantCulture));
                json[i] ^= (byte)(1 << bit);
            }
        }
    }

    private static string[][] RandomTags(Random random) =>
        [.. Enumerable.Range(0, random.Next(4)).Select(_ => Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomText(random)).ToArray())];

    private static string RandomText(Random random)
    {
        var text = new StringBuilder();
        for (var i = random.Next(8); i > 0; i--)
        {
            text.Append(random.Next(8) switch
            {
                0 => ((char)random.Next(0x20)).ToString(),
                1 => char.ConvertFromUtf32(random.Next(0x10000, 0x110000)),
                2 => ((char)random.Next(0x7F, 0xD800)).ToString(),
                3 => "/",
                4 => "\"\\",
                _ => ((char)random.Next('a', 'z' + 1)).ToString(),
            });
        }

        return text.ToString();
    }

    /// <summary>Writes an event with random member order, blanks, escapes and unknown members.</summary>
    private sealed class Speller(Random random)
    {
        private readonly int _blanks = random.Next(3); // 0: none, 1: outside tags only, 2: anywhere
        private readonly bool _escapes = random.Next(2) == 0;

        public string Spell(NostrEvent evt)
        {
            var members = new List<(string Name, string Value)>
            {
                ("id", $"\"{evt.Id}\""),
                ("pubkey", $"\"{evt.PublicKey}\""),
                ("created_at", evt.CreatedAt.ToString(CultureInfo.InvariantCulture)),
                ("kind", evt.Kind.ToString(CultureInfo.InvariantCulture)),
                ("tags", Tags(evt.Tags)),
                ("content", Text(evt.Content)),
                ("sig", $"\"{Convert.ToHexStringLower(evt.Signature.Span)}\""),
            };
            if (random.Next(3) == 0)
            {
                members.Add(("seen_on", """["wss://a",{"n":[null,-1.5e3,true]}]"""));
            }

            var order = members.ToArray();
            random.Shuffle(order);
            var joined = string.Join(',', order.Select(m => $"{Blank()}\"{m.Name}\"{Blank()}:{Blank()}{m.Value}{Blank()}"));
            return $"{Blank()}{{{joined}}}{Blank()}";
        }

        private string Tags(IReadOnlyList<string[]> tags)
        {
            var inner = tags.Select(tag => $"{TagBlank()}[{string.Join(',', tag.Select(item => TagBlank() + Text(item) + TagBlank()))}]{TagBlank()}");
            return $"[{string.Join(',', inner)}]";
        }

        private string Text(string text)
        {
            var output = new StringBuilder("\"");
            foreach (var c in text)
            {
                output.Append(c switch
                {
                    _ when _escapes && random.Next(4) == 0 => $"\\u{((int)c).ToString(random.Next(2) == 0 ? "x4" : "X4", CultureInfo.InvariantCulture)}",
                    _ when char.IsSurrogate(c) && _escapes => $"\\u{(int)c:x4}",
                    '/' when _escapes => "\\/",
                    '"' => "\\\"",
                    '\\' => "\\\\",
                    '\n' => "\\n",
                    '\r' => "\\r",
                    '\t' => "\\t",
                    '\b' => "\\b",
                    '\f' => "\\f",
                    < ' ' => $"\\u{(int)c:x4}",
                    _ => c.ToString(),
                });
            }

            return output.Append('"').ToString();
        }

        private string Blank() => _blanks > 0 && random.Next(3) == 0 ? " \n\r\t"[random.Next(4)].ToString() : "";

        private string TagBlank() => _blanks > 1 ? Blank() : "";
    }
}
