using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;

namespace Marmot.Hosting.Tests.Moderating;

public sealed class DecisionsTests : IDisposable
{
    private const string Npub = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";
    private const string Hex = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("ban-key", Npub, Hex)]
    [InlineData("ban-key", " " + Hex + " ", Hex)]
    [InlineData("ban-event", Hex, Hex)]
    [InlineData("block-address", "::ffff:192.0.2.1", "192.0.2.1")]
    [InlineData("allow-name", "Alice@Example.org", "alice@example.org")]
    [InlineData("allow-name", "example.org", "example.org")]
    public void A_target_is_taken_in_the_forms_people_write_it(string action, string text, string expected) =>
        Assert.Equal(expected, DecisionActions.ReadTarget(action, text));

    [Theory]
    [InlineData("ban-key", "npub1nonsense")]
    [InlineData("ban-key", "")]
    [InlineData("ban-blob", Npub)]
    [InlineData("block-address", "example.org")]
    [InlineData("allow-name", "no domain")]
    [InlineData("allow-name", "@example.org")]
    [InlineData("drop-key", Hex)]
    public void Anything_else_is_refused_in_a_sentence(string action, string text) =>
        Assert.NotEqual("", Assert.Throws<ArgumentException>(() => DecisionActions.ReadTarget(action, text)).Message);

    [Fact]
    [Trait("Clock", "Date")]
    public async Task Each_decision_leaves_a_line_with_who_when_what_and_why_and_the_trail_is_bounded()
    {
        var time = Clock.Standing(DateTimeOffset.FromUnixTimeSeconds(1_700_000_000));
        using var moderation = new Moderation(new ModerationFile(_folder.Path));
        var decisions = new Decisions(moderation, [], time);
        await decisions.DecideAsync("ban-key", Npub, "spam", "alice", CancellationToken.None);
        Assert.Equal(new Decision(1, 1_700_000_000, "alice", "ban-key", Hex, "spam"), Assert.Single(moderation.State.Trail));
        Assert.True(moderation.IsKeyBanned(Bytes32.ParseHex(Hex)));
        await Assert.ThrowsAsync<ArgumentException>(() => decisions.DecideAsync("ban-key", "nonsense", "", "alice", CancellationToken.None));
        Assert.Single(moderation.State.Trail);
        for (var i = 0; i < 5; i++)
        {
            await decisions.RecordAsync("delete-events", $"{i}", "", "alice", CancellationToken.None);
        }

        Assert.Equal([1, 2, 3, 4, 5, 6], moderation.State.Trail.Select(line => line.Number));
        await moderation.ChangeAsync(state =>
            state with { Trail = [.. Enumerable.Range(1, Decisions.MaxTrail).Select(n => new Decision(n, 0, "", "", "", ""))] }, CancellationToken.None);
        await decisions.RecordAsync("delete-events", "last", "", "alice", CancellationToken.None);
        Assert.Equal(Decisions.MaxTrail, moderation.State.Trail.Count);
        Assert.Equal((2, Decisions.MaxTrail + 1), (moderation.State.Trail[0].Number, moderation.State.Trail[^1].Number));
    }

    [Fact]
    public async Task Processes_of_one_machine_lose_none_of_each_others_decisions()
    {
        using var relay = new Moderation(new ModerationFile(_folder.Path));
        using var blossom = new Moderation(new ModerationFile(_folder.Path));
        var targets = Enumerable.Range(0, 20).Select(i => new string("0123456789"[i % 10], 63) + (i < 10 ? "a" : "b")).ToList();
        await Task.WhenAll(targets.Select((hash, i) =>
            new Decisions(i % 2 == 0 ? relay : blossom, [], Clock.Running()).DecideAsync("ban-blob", hash, "", "", CancellationToken.None)));
        await relay.RefreshAsync(CancellationToken.None);
        await blossom.RefreshAsync(CancellationToken.None);
        Assert.Equal(targets.Order(), relay.State.BannedBlobs.Keys.Order());
        Assert.Equal(targets.Order(), blossom.State.BannedBlobs.Keys.Order());
        Assert.Equal(Enumerable.Range(1, 20).Select(n => (long)n), relay.State.Trail.Select(line => line.Number));
    }

    [Fact]
    public void Decisions_of_a_version_that_kept_them_with_the_relay_are_found()
    {
        Directory.CreateDirectory(_folder.File("relay"));
        File.WriteAllText(_folder.File(Path.Combine("relay", "management.json")), $"{{\"BannedKeys\":{{\"{Hex}\":\"spam\"}},\"Name\":\"Old\"}}");
        using var moderation = new Moderation(new ModerationFile(_folder.Path));
        Assert.True(moderation.IsKeyBanned(Bytes32.ParseHex(Hex)));
        Assert.Equal("Old", moderation.State.Name);
    }
}
