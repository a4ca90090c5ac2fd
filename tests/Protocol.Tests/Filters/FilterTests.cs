using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Tests.Events;

namespace Marmot.Protocol.Tests.Filters;

[Trait("Spec", "NIP-01")]
public sealed class FilterTests
{
    private static readonly string Key = new('a', 64);

    [Fact]
    public void Reads_every_condition()
    {
        var filter = Read($$"""
            {"ids":["{{Key}}"],"authors":[],"kinds":[0,65535],"#h":["g","é"],"#P":[""],"since":1,"until":2,"limit":0,"search":"x y"}
            """);
        Assert.Equal([Bytes32.ParseHex(Key)], filter.Ids!);
        Assert.Empty(filter.Authors!);
        Assert.Equal([0, 65535], filter.Kinds!);
        Assert.Equal(["g", "é"], filter.Tags['h']);
        Assert.Equal([""], filter.Tags['P']);
        Assert.Equal((1L, 2L, 0, "x y"), (filter.Since, filter.Until, filter.Limit, filter.Search));
    }

    [Fact]
    public void An_absent_condition_is_null_and_not_empty()
    {
        var filter = Read("{}");
        Assert.Equal((null, null, null), (filter.Ids, filter.Authors, filter.Kinds));
        Assert.Equal((null, null, null, null), (filter.Since, filter.Until, filter.Limit, filter.Search));
        Assert.Empty(filter.Tags);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("1")]
    [InlineData("""{"ids":null}""")]
    [InlineData("""{"ids":["abcd"]}""")]
    [InlineData("""{"ids":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]}""")]
    [InlineData("""{"authors":[1]}""")]
    [InlineData("""{"authors":"x"}""")]
    [InlineData("""{"kinds":[-1]}""")]
    [InlineData("""{"kinds":[65536]}""")]
    [InlineData("""{"kinds":[1.5]}""")]
    [InlineData("""{"kinds":["1"]}""")]
    [InlineData("""{"since":-1}""")]
    [InlineData("""{"since":1.5}""")]
    [InlineData("""{"until":"1"}""")]
    [InlineData("""{"limit":-1}""")]
    [InlineData("""{"limit":null}""")]
    [InlineData("""{"search":1}""")]
    [InlineData("""{"#e":["abc"]}""")]
    [InlineData("""{"#p":["npub1"]}""")]
    [InlineData("""{"#h":"x"}""")]
    [InlineData("""{"#h":[1]}""")]
    [InlineData("""{"#ab":["x"]}""")]
    [InlineData("""{"#1":["x"]}""")]
    [InlineData("""{"#":["x"]}""")]
    [InlineData("""{"h":["x"]}""")]
    [InlineData("""{"kinds":[1],"kinds":[2]}""")]
    [InlineData("""{"#h":["x"],"#h":["y"]}""")]
    [InlineData("""{"limit":1,"limit":2}""")]
    public void Refuses_what_it_cannot_answer_exactly(string json)
    {
        Assert.False(TryRead(json, FilterLimits.Default, out _, out var reason));
        Assert.Equal(RejectPrefix.Invalid, reason.Prefix);
    }

    [Fact]
    public void Holds_its_limits()
    {
        var limits = new FilterLimits { MaxValuesPerList = 2, MaxTagLetters = 1, MaxTagValueLength = 3, MaxSearchLength = 3 };
        Accepts("""{"kinds":[1,2],"#h":["abc","d"],"search":"abc"}""");
        Refuses("""{"kinds":[1,2,3]}""", "kinds has more than 2 values");
        Refuses($$"""{"ids":["{{Key}}","{{Key}}","{{Key}}"]}""", "ids has more than 2 values");
        Refuses($$"""{"authors":["{{Key}}","{{Key}}","{{Key}}"]}""", "authors has more than 2 values");
        Refuses("""{"#h":["a","b","c"]}""", "#h has more than 2 values");
        Refuses("""{"#h":["abcd"]}""", "a value of #h has more than 3 characters");
        Refuses("""{"#h":["a"],"#i":["a"]}""", "a filter has conditions on more than 1 tag letters");
        Refuses("""{"search":"abcd"}""", "search has more than 3 characters");

        void Accepts(string json) => Assert.True(TryRead(json, limits, out _, out var reason), reason.ToString());
        void Refuses(string json, string why)
        {
            Assert.False(TryRead(json, limits, out _, out var reason), json);
            Assert.Equal(why, reason.Text);
        }
    }

    [Fact]
    public void A_huge_limit_is_read_as_the_largest()
    {
        Assert.Equal(int.MaxValue, Read("""{"limit":9999999999}""").Limit);
    }

    [Fact]
    public void A_tag_without_a_value_matches_nothing_not_even_the_empty_text()
    {
        Assert.False(Matches("""{"#h":[""]}""", """[["h"]]"""));
        Assert.True(Matches("""{"#h":[""]}""", """[["h",""]]"""));
    }

    [Fact]
    public void Only_the_first_value_of_a_tag_counts() => Assert.False(Matches("""{"#h":["b"]}""", """[["h","a","b"]]"""));

    [Fact]
    public void One_tag_may_answer_one_letter_and_another_the_next()
    {
        Assert.True(Matches("""{"#h":["b"],"#t":["c"]}""", """[["h","a"],["t","c"],["h","b"]]"""));
        Assert.False(Matches("""{"#h":["b"],"#t":["c"]}""", """[["h","b"],["T","c"]]"""));
    }

    [Fact]
    public void Spelling_of_the_event_does_not_change_the_answer()
    {
        Assert.True(Matches("""{"#h":["a/é\n"]}""", """[ ["\u0068", "a\/\u00e9\u000a"] ]"""));
        Assert.True(Matches("""{"#\u0068":["a/é\n"]}""".Replace("\\u0068", "h", StringComparison.Ordinal), """[["h","a/é\n"]]"""));
        Assert.False(Matches("""{"#h":["a\\/"]}""", """[["h","a\/"]]"""));
    }

    // 500 events by 200 filters, small alphabets so that about a quarter of the pairs match.
    [Fact]
    public void Agrees_with_the_obvious_filter_on_100_000_pairs()
    {
        var random = new Random(20261121);
        var events = Enumerable.Range(0, 500).Select(_ => RandomEvent(random)).ToArray();
        var models = events.Select(json => JsonDocument.Parse(json).RootElement).ToArray();
        var matches = 0;
        for (var i = 0; i < 200; i++)
        {
            var json = RandomFilter(random);
            var filter = Read(json);
            var rewritten = Read(System.Text.Encoding.UTF8.GetString(filter.ToJson()));
            var model = JsonDocument.Parse(json).RootElement;
            for (var j = 0; j < events.Length; j++)
            {
                Assert.True(NostrEventReader.TryRead(events[j], out var view, out var reason), reason.ToString());
                var expected = FilterModel.Matches(model, models[j]);
                var context = expected == filter.Matches(view) ? "" : $"{json} {System.Text.Encoding.UTF8.GetString(events[j])}";
                Assert.True(context.Length == 0, context);
                Assert.Equal(expected, rewritten.Matches(view));
                matches += expected ? 1 : 0;
            }
        }

        Assert.InRange(matches, 5_000, 60_000);
    }

    [Fact]
    public void Matching_allocates_nothing()
    {
        var filters = new[]
        {
            Read($$"""{"ids":["{{Key}}"]}"""),
            Read("""{"kinds":[1,2,3,4,5,6,7,8,9,445],"#h":["a","b","c","d","e","f","g","h","i","j"],"#t":["x"]}"""),
            Read("""{"since":1,"until":2000000000,"#h":["x"]}"""),
        };
        var plain = Event("""[["h","j"],["t","x"]]""");
        var spaced = Event("""[["h", "j"], ["t", "\u0078"]]""");
        Assert.Equal(4, Run()); // the first and the second filter, in both spellings
        Run();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            Run();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        int Run()
        {
            var count = 0;
            foreach (var json in (ReadOnlySpan<byte[]>)[plain, spaced])
            {
                NostrEventReader.TryRead(json, out var view, out _);
                foreach (var filter in filters)
                {
                    count += filter.Matches(view) ? 1 : 0;
                }
            }

            return count;
        }
    }

    private static Filter Read(string json) =>
        TryRead(json, FilterLimits.Default, out var filter, out var reason) ? filter! : throw new ArgumentException($"{json}: {reason}", nameof(json));

    private static bool TryRead(string json, FilterLimits limits, out Filter? filter, out RejectReason reason)
    {
        var reader = new Utf8JsonReader(NostrJson.Utf8(json));
        return Filter.TryRead(ref reader, limits, out filter, out reason);
    }

    private static bool Matches(string filter, string tags)
    {
        Assert.True(NostrEventReader.TryRead(Event(tags), out var view, out var reason), reason.ToString());
        return Read(filter).Matches(view);
    }

    private static byte[] Event(string tags, string? id = null, string? author = null, int kind = 445, long createdAt = 1700000000) =>
        NostrJson.Utf8(
            $$"""{"id":"{{id ?? Key}}","pubkey":"{{author ?? Key}}","created_at":{{createdAt}},"kind":{{kind}},"tags":{{tags}}"""
                + $$""","content":"","sig":"{{Key}}{{Key}}"}""");

    private static string RandomKey(Random random) => new("0123456789abcdef"[random.Next(4)], 64);

    private static string RandomValue(Random random) => random.Next(6) switch
    {
        0 => "",
        1 => "a/b",
        2 => "é",
        3 => "\\n\\\"",
        4 => "x",
        _ => $"v{random.Next(4)}",
    };

    private static string RandomSpelling(Random random, string value) => random.Next(4) switch
    {
        0 => value.Replace("/", "\\/", StringComparison.Ordinal),
        1 => value.Replace("é", "\\u00e9", StringComparison.Ordinal).Replace("x", "\\u0078", StringComparison.Ordinal),
        2 => value.Replace("\\n", "\\u000A", StringComparison.Ordinal),
        _ => value,
    };

    private static byte[] RandomEvent(Random random)
    {
        var tags = new StringBuilder("[");
        for (var i = random.Next(5); i > 0; i--)
        {
            var name = random.Next(8) switch { 0 => "p", 1 => "e", 2 => "hh", 3 => "", 4 => "H", _ => random.Next(2) == 0 ? "h" : "t" };
            tags.Append(tags.Length > 1 ? random.Next(3) == 0 ? " , " : "," : "").Append($"[\"{name}\"");
            if (random.Next(8) != 0)
            {
                var value = name is "p" or "e" ? RandomKey(random) : RandomSpelling(random, RandomValue(random));
                tags.Append($",\"{value}\"");
                tags.Append(random.Next(4) == 0 ? $",\"{RandomValue(random)}\"" : "");
            }

            tags.Append(']');
        }

        return Event(tags.Append(']').ToString(), RandomKey(random), RandomKey(random), random.Next(4), random.Next(10));
    }

    private static string RandomFilter(Random random)
    {
        var members = new List<string>();
        AddList("ids", 12, () => $"\"{RandomKey(random)}\"");
        AddList("authors", 5, () => $"\"{RandomKey(random)}\"");
        AddList("kinds", 4, () => $"{random.Next(4)}");
        AddList("#h", 4, () => $"\"{RandomValue(random)}\"");
        AddList("#t", 6, () => $"\"{RandomValue(random)}\"");
        AddList("#p", 8, () => $"\"{RandomKey(random)}\"");
        AddNumber("since", 4);
        AddNumber("until", 4);
        AddNumber("limit", 2);
        return "{" + string.Join(',', members) + "}";

        void AddList(string name, int oneIn, Func<string> value)
        {
            if (random.Next(oneIn) == 0)
            {
                // Sometimes none, sometimes so many that the set is used instead of the comparison.
                var count = random.Next(10) switch { 0 => 0, 1 => 12, _ => random.Next(1, 5) };
                members.Add($"\"{name}\":[{string.Join(',', Enumerable.Range(0, count).Select(_ => value()))}]");
            }
        }

        void AddNumber(string name, int oneIn)
        {
            if (random.Next(oneIn) == 0)
            {
                members.Add($"\"{name}\":{random.Next(10)}");
            }
        }
    }
}
