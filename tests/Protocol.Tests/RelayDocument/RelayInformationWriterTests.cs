using System.Text.Json;
using Marmot.Protocol.RelayDocument;

namespace Marmot.Protocol.Tests.RelayDocument;

[Trait("Spec", "NIP-11")]
public sealed class RelayInformationWriterTests
{
    [Fact]
    public void Writes_the_members_that_are_set_under_their_nip11_names()
    {
        var bytes = RelayInformationWriter.Write(new RelayInformation
        {
            Name = "a \"relay\"",
            Contact = "mailto:ops@example.org",
            SupportedNips = [1, 11, 42],
            Limitation = new RelayLimitation { MaxMessageLength = 262144, MaxSubscriptionIdLength = 64, AuthRequired = false, CreatedAtLowerLimit = 172800 },
            Retention = [new RelayRetention(445, 445, 3600), new RelayRetention(30000, 39999, null, 10), new RelayRetention(20000, 29999, 0)],
        });
        using var model = JsonDocument.Parse(bytes);
        var root = model.RootElement;
        Assert.Equal("a \"relay\"", root.GetProperty("name").GetString());
        Assert.Equal("[1,11,42]", root.GetProperty("supported_nips").GetRawText());
        Assert.Equal(
            """{"max_message_length":262144,"max_subid_length":64,"auth_required":false,"created_at_lower_limit":172800}""",
            root.GetProperty("limitation").GetRawText());
        Assert.Equal(
            """[{"kinds":[445],"time":3600},{"kinds":[[30000,39999]],"time":null,"count":10},{"kinds":[[20000,29999]],"time":0}]""",
            root.GetProperty("retention").GetRawText());
        Assert.False(root.TryGetProperty("description", out _));
        Assert.False(root.TryGetProperty("pubkey", out _));
    }

    [Fact]
    public void An_empty_document_is_still_one()
    {
        using var model = JsonDocument.Parse(RelayInformationWriter.Write(new RelayInformation()));
        Assert.Equal("""{"supported_nips":[],"limitation":{}}""", model.RootElement.GetRawText());
    }
}
