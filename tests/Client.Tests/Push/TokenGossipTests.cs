using Marmot.Client.Push;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;

namespace Marmot.Client.Tests.Push;

public sealed class TokenGossipTests
{
    [Fact]
    [Trait("Spec", "MIP-05")]
    public void The_recorded_gossip_of_MIP_05_reads_and_is_written_again_the_same()
    {
        var file = VectorFile.Read("push-gossip.json").GetProperty("mip05");
        foreach (string name in new[] { "kind_447", "kind_448", "kind_447_280" })
        {
            var rumor = file.GetProperty(name).ToRumor();
            Assert.True(TokenGossip.TryRead(rumor, out var tokens, out var answered), name);
            Assert.All(tokens, token => Assert.Equal(name == "kind_447_280" ? TokenDialect.Mip05Short : TokenDialect.Mip05Long, token.Dialect));
            var again = answered is { } update
                ? TokenGossip.CreateList(rumor.PublicKey, update, tokens, rumor.CreatedAt)
                : TokenGossip.CreateUpdate(rumor.PublicKey, tokens, rumor.CreatedAt);
            Assert.Equal(rumor.Id, again.Id);
        }

        var removal = file.GetProperty("kind_449").ToRumor();
        Assert.True(TokenGossip.IsRemoval(removal));
        Assert.Equal(removal.Id, TokenGossip.CreateRemoval(removal.PublicKey, removal.CreatedAt).Id);
    }

    [Fact]
    [Trait("Spec", "MIP-05")]
    public void Gossip_with_anything_but_its_tags_is_void()
    {
        var good = VectorFile.Read("push-gossip.json").GetProperty("mip05").GetProperty("kind_448").ToRumor();
        var e = good.Tags.Single(tag => tag[0] == "e");
        var token = good.Tags.First(tag => tag[0] == "token");
        string[][][] bad =
        [
            [token],
            [e],
            [e, e, token],
            [e, token, token],
            [e, token, ["x", "y"]],
            [e, token[..4]],
            [e, [token[0], token[1][4..], token[2], token[3], token[4]]],
            [e, [token[0], token[1], token[2][2..], token[3], token[4]]],
            [e, [token[0], token[1], token[2], "https://relay.example", token[4]]],
            [e, [token[0], token[1], token[2], token[3], "-1"]],
        ];
        Assert.All(bad, tags => Assert.False(TokenGossip.TryRead(Rumor.Create(good.PublicKey, 448, tags, "", 1), out _, out _)));
        Assert.False(TokenGossip.TryRead(Rumor.Create(good.PublicKey, 448, [e, token], "text", 1), out _, out _));
        Assert.False(TokenGossip.TryRead(Rumor.Create(good.PublicKey, 447, [], "", 1), out _, out _));
        Assert.False(TokenGossip.TryRead(Rumor.Create(default, 449, [], "", 1), out _, out _));
    }
}
