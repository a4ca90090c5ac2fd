using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>Stories told with real <c>marmot agent</c> processes through the real relay; one of them is killed with SIGKILL in the middle.</summary>
public sealed class AgentTests(SuiteFixture fixture) : AgentStories(fixture), IClassFixture<SuiteFixture>
{
    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task Three_members_whole_life_with_one_of_them_killed_again_and_again()
    {
        var (alice, bob, carol, group) = await ThreeAsync();

        // Bob is killed between a message and the next step, and goes on with what his store holds.
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
        Assert.Contains("carol is gone", await TextsAsync(bob, group));
        Assert.DoesNotContain("carol is gone", await TextsAsync(carol, group));
        Assert.Equal(["before the kill", "carol is gone", "hello", "hi"], await TextsAsync(alice, group));
        Assert.Equal(0, await alice.Agent.EndAsync());
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task Two_admins_race_and_the_loser_takes_his_epoch_back()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.AskAsync("updateMetadata", new { group, adminPubkeys = new[] { alice.Key, bob.Key } });
        await SyncAsync(group, bob, carol);

        // Both commits are made before either is sent; the later one gets to the relay first.
        await alice.AskAsync("hold", new { kinds = new[] { 445 } });
        await bob.AskAsync("hold", new { kinds = new[] { 445 } });
        var first = alice.AskAsync("updateMetadata", new { group, name = "alice's" });
        var alicesEvent = await HeldAsync(alice);
        var second = bob.AskAsync("updateMetadata", new { group, name = "bob's" });
        var bobsEvent = await HeldAsync(bob);
        bool aliceWins = (alicesEvent.CreatedAt, alicesEvent.Id).CompareTo((bobsEvent.CreatedAt, bobsEvent.Id)) < 0;
        await (aliceWins ? bob : alice).AskAsync("release");
        await (aliceWins ? second : first);
        await SyncAsync(group, carol);
        await (aliceWins ? alice : bob).AskAsync("release");
        await (aliceWins ? first : second);
        await SyncAsync(group, alice, bob, carol);
        await AssertAgreeAsync(group, alice, bob, carol);
        Assert.Equal(aliceWins ? "alice's" : "bob's", (await StateAsync(carol, group))["name"]!.GetValue<string>());
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task An_inviter_killed_between_commit_and_welcome_still_sends_the_welcome()
    {
        var (alice, _, _, group) = await ThreeAsync();
        var dave = await StartAsync("dave");
        await RotateKeyPackageAsync(dave);
        await alice.AskAsync("hold", new { kinds = new[] { 1059 } });
        var inviting = alice.AskAsync("invite", new { group, pubkey = dave.Key });
        await alice.AskAsync("held", new { count = 1, waitMs = 20_000 });
        alice = await KillAndRestartAsync(alice); // the commit is out, the Welcome is not
        await Assert.ThrowsAsync<EndOfStreamException>(() => inviting);
        var joined = await dave.AskAsync("acceptInvites", new { waitMs = 20_000 });
        Assert.Equal(group, joined["groups"]![0]!["state"]!["groupId"]!.GetValue<string>());
        await AssertAgreeAsync(group, alice, dave);
    }

    [Fact]
    public async Task A_wrong_request_is_answered_with_what_is_wrong_and_changes_nothing()
    {
        var alice = StartProcess();
        Assert.Contains("init", await alice.RefusalAsync("createGroup", new { name = "x", description = "" }), StringComparison.Ordinal);
        Assert.Contains("relays", await alice.RefusalAsync("init"), StringComparison.Ordinal);
        await alice.AskAsync("init", new { relays = new[] { Relay } });
        Assert.Contains("unknown cmd", await alice.RefusalAsync("dance"), StringComparison.Ordinal);
        Assert.Contains("no group", await alice.RefusalAsync("groupState", new { group = "00" }), StringComparison.Ordinal);
        var commands = (await alice.AskAsync("ping"))["commands"]!.AsArray().Select(name => name!.GetValue<string>()).ToHashSet();
        Assert.Superset(
            new HashSet<string>
            {
                "init", "ping", "publishRelayLists", "publishKeyPackage", "fetchKeyPackage", "createGroup", "invite", "inviteMany", "acceptInvites", "sync",
                    "send", "listMessages", "selfUpdate", "updateMetadata",
                "removeMember", "leave", "commitPending", "groupState", "hold", "held", "release", "close", "listGroups", "listKeyPackages", "rotateKeyPackage",
                "deleteKeyPackage", "encryptMedia", "decryptMedia", "fetchGroupEvents", "fetchGiftWraps", "log",
            },
            commands);
    }

    [Fact]
    [Trait("Spec", "MIP-04")]
    public async Task A_file_encrypted_by_one_member_opens_for_another_also_epochs_later()
    {
        var (alice, bob, _, group) = await ThreeAsync();
        string data = Convert.ToBase64String("a file"u8);
        var sealedFile = await alice.AskAsync("encryptMedia", new { group, data, filename = "a.txt", type = "text/plain" });
        var attachment = sealedFile["attachment"]!;
        await alice.AskAsync("send", new { group, content = "look", tags = new[] { new[] { "imeta", "url https://blossom.example/x", "m text/plain" } } });
        await SyncAsync(group, bob);
        for (int epoch = 0; epoch < 7; epoch++)
        {
            await alice.AskAsync("selfUpdate", new { group });
            await SyncAsync(group, bob);
        }

        var opened = await bob.AskAsync("decryptMedia", new { group, encrypted = sealedFile["encrypted"]!.GetValue<string>(), attachment });
        Assert.Equal(data, opened["data"]!.GetValue<string>());
    }

    private static Task<JsonObject> SendAsync(Named agent, string group, string content, int kind = 9) => agent.AskAsync("send", new { group, content, kind });

    private static async Task RotateKeyPackageAsync(Named agent) =>
        await agent.AskAsync("rotateKeyPackage", new { @ref = (await agent.AskAsync("listKeyPackages"))["keyPackages"]![0]!["ref"]!.GetValue<string>() });
}
