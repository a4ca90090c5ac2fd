using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Tests.Events;

/// <summary>nip01-event-ids.json: every serialisation corner case in several legal spellings.</summary>
[Trait("Spec", "NIP-01")]
public sealed class EventIdVectorTests
{
    private static readonly JsonDocument Vectors = TestVectors.Open("nip01-event-ids.json");

    public static TheoryData<string, string> Cases()
    {
        var data = new TheoryData<string, string>();
        foreach (var item in Vectors.RootElement.GetProperty("cases").EnumerateArray())
        {
            data.Add(item.GetProperty("name").GetString()!, item.GetProperty("event").GetRawText());
        }

        foreach (var item in Vectors.RootElement.GetProperty("control_characters").GetProperty("cases").EnumerateArray())
        {
            data.Add($"control-{item.GetProperty("codepoint").GetInt32()}", item.GetProperty("event").GetRawText());
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Verifies_the_event_however_it_is_spelled(string name, string json)
    {
        Assert.NotEmpty(name);
        var evt = NostrJson.Parse(json);
        foreach (var spelling in new[]
        {
            NostrJson.Utf8(json),                                                                     // with blanks, escapes as in the file
            NostrJson.Utf8(JsonNode.Parse(json)!.ToJsonString()),                                      // \uXXXX for all that is not ASCII
            evt.ToNormalized(),
            NostrJson.EscapeAll(json),                                                                 // every character as \uXXXX
        })
        {
            Assert.True(NostrEventReader.TryRead(spelling, out var view, out var reason), reason.ToString());
            Assert.True(EventVerifier.TryVerify(view, out reason), reason.ToString());
            Assert.Equal(evt.ToNormalized(), view.ToNormalizedJson());
        }
    }

    [Fact]
    public void Normalised_bytes_take_the_fast_path_and_others_do_not()
    {
        foreach (var item in Vectors.RootElement.GetProperty("cases").EnumerateArray())
        {
            var json = item.GetProperty("event").GetRawText();
            Assert.True(NostrEventReader.TryRead(NostrJson.Parse(json).ToNormalized(), out var normal, out _));
            Assert.True(normal.HasCanonicalBytes);
            Assert.True(normal.IsNormalized);
            Assert.True(NostrEventReader.TryRead(NostrJson.Utf8(json), out var pretty, out _));
            Assert.False(pretty.IsNormalized);
        }
    }

    [Fact]
    public void Refuses_each_broken_event()
    {
        var count = 0;
        foreach (var item in Vectors.RootElement.GetProperty("verify_failures").EnumerateArray())
        {
            var json = item.TryGetProperty("raw", out var raw) ? raw.GetString()! : item.GetProperty("event").GetRawText();
            var accepted = NostrEventReader.TryRead(NostrJson.Utf8(json), out var view, out var reason) && EventVerifier.TryVerify(view, out reason);
            Assert.False(accepted, item.GetProperty("name").GetString());
            Assert.Equal(RejectPrefix.Invalid, reason.Prefix);
            count++;
        }

        Assert.Equal(9, count);
    }

    [Fact]
    public void Hashes_c0_controls_in_the_json_escaped_form_not_verbatim()
    {
        foreach (var item in Vectors.RootElement.GetProperty("control_characters").GetProperty("cases").EnumerateArray())
        {
            var evt = NostrJson.Parse(item.GetProperty("event").GetRawText());
            var rumor = Rumor.Create(evt.PublicKey, evt.Kind, evt.Tags, evt.Content, evt.CreatedAt);
            Assert.Equal(item.GetProperty("id_json_escaped").GetString(), rumor.Id.ToString());
            Assert.NotEqual(item.GetProperty("id_nip01_verbatim").GetString(), rumor.Id.ToString());
        }
    }
}
