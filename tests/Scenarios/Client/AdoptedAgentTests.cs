namespace Marmot.Scenarios.Client;

/// <summary>Groups of the adopted profile between real <c>marmot agent</c> processes through the real relay; the commands are those for MIP groups.</summary>
[Trait("Spec", "Adopted profile")]
public sealed class AdoptedAgentTests(SuiteFixture fixture) : AgentStories(fixture), IClassFixture<SuiteFixture>
{
    protected override string Profile => "adopted";

    [Fact]
    public async Task Three_members_whole_life_in_the_adopted_profile_with_one_of_them_killed()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        Assert.Equal("adopted", (await StateAsync(carol, group))["profile"]!.GetValue<string>());
        await SendAsync(bob, group, "before the kill");
        bob = await KillAndRestartAsync(bob);
        await bob.AskAsync("selfUpdate", new { group });
        await SyncAsync(group, alice, carol);
        await SendAsync(alice, group, "hello");
        await SendAsync(carol, group, "hi", kind: 7);
        bob = await KillAndRestartAsync(bob);
        await SyncAsync(group, alice, bob, carol);
        await AssertAgreeAsync(group, alice, bob, carol);

        await alice.AskAsync("updateMetadata", new { group, name = "renamed", nostrGroupId = new string('7', 64) });
        await alice.AskAsync("setRetention", new { group, seconds = 86_400 });
        await SyncAsync(group, bob, carol);
        Assert.Equal("renamed", (await StateAsync(bob, group))["name"]!.GetValue<string>());
        await carol.AskAsync("leave", new { group });
        await SyncAsync(group, alice, bob);
        Assert.Equal(1, (await StateAsync(bob, group))["pendingProposals"]!.GetValue<int>());
        await bob.AskAsync("commitPending", new { group });
        await SyncAsync(group, alice, carol);
        Assert.False((await StateAsync(carol, group))["active"]!.GetValue<bool>());
        await SendAsync(alice, group, "carol is gone");
        await SyncAsync(group, bob, carol);
        await AssertAgreeAsync(group, alice, bob);
        Assert.Equal(["before the kill", "carol is gone", "hello", "hi"], await TextsAsync(alice, group));
        Assert.DoesNotContain("carol is gone", await TextsAsync(carol, group));

        await alice.AskAsync("disband", new { group });
        await SyncAsync(group, bob, alice);
        Assert.False((await StateAsync(alice, group))["active"]!.GetValue<bool>());
        Assert.False((await StateAsync(bob, group))["active"]!.GetValue<bool>());
        Assert.Equal(0, await alice.Agent.EndAsync());
    }

    [Fact]
    public async Task Two_admins_who_commit_at_once_end_together_and_both_changes_hold()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.AskAsync("updateMetadata", new { group, adminPubkeys = new[] { alice.Key, bob.Key } });
        await SyncAsync(group, bob, carol);
        await alice.AskAsync("hold", new { kinds = new[] { 445 } });
        await bob.AskAsync("hold", new { kinds = new[] { 445 } });
        var first = alice.AskAsync("updateMetadata", new { group, name = "alice's" });
        await HeldAsync(alice);
        var second = bob.AskAsync("setRetention", new { group, seconds = 7200 });
        await HeldAsync(bob);
        await bob.AskAsync("release");
        await second;
        await alice.AskAsync("release");
        await first;
        for (int round = 0; round < 2; round++)
        {
            await SyncAsync(group, carol, alice, bob);
        }

        await SyncAsync(group, carol, alice, bob);
        await AssertAgreeAsync(group, alice, bob, carol);
        Assert.Equal("alice's", (await StateAsync(carol, group))["name"]!.GetValue<string>());
        foreach (var agent in new[] { alice, bob, carol })
        {
            await SendAsync(agent, group, $"{agent.Name} after the race");
        }

        await SyncAsync(group, alice, bob, carol);
        Assert.Equal(3, (await TextsAsync(carol, group)).Count);
    }

    [Fact]
    public async Task Files_and_a_picture_pass_through_the_real_blob_store()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        string file = Convert.ToBase64String([.. Enumerable.Range(0, 5000).Select(i => (byte)i)]);
        var sent = await alice.AskAsync("sendFile", new { group, data = file, type = "application/octet-stream", filename = "numbers.bin" });
        string message = sent["rumor"]!["id"]!.GetValue<string>();

        // The secret is that of the state the message was made in, whatever comes after.
        await alice.AskAsync("updateMetadata", new { group, name = "another state" });
        byte[] png = [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10, 1, 2, 3];
        await alice.AskAsync("setImage", new { group, data = Convert.ToBase64String(png) });
        await SyncAsync(group, bob, carol);
        Assert.Equal(file, (await bob.AskAsync("getFile", new { group, message }))["data"]!.GetValue<string>());
        Assert.Equal(Convert.ToBase64String(png), (await carol.AskAsync("getImage", new { group }))["data"]!.GetValue<string>());
        await alice.AskAsync("removeImage", new { group });
        await SyncAsync(group, carol);
        Assert.Null((await carol.AskAsync("getImage", new { group }))["data"]);
    }

    private static async Task SendAsync(Named agent, string group, string content, int kind = 9) => await agent.AskAsync("send", new { group, content, kind });
}
