using Marmot.Client.Accounts;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Adopted;

/// <summary>What one group of the adopted profile keeps, deletes, refuses and bounds.</summary>
[Trait("Spec", "Adopted profile")]
public sealed class AdoptedGroupTests
{
    private static readonly string[] Attachment = ["imeta", "v encrypted-media-v2"];

    [Fact]
    public void What_is_due_is_deleted_everywhere_and_with_the_last_attachment_of_a_state_its_media_secret()
    {
        using var circle = new Circle(2, founding: new AdoptedFounding { Name = "g", Relays = ["wss://relay.example"], RetentionSeconds = 100 });
        circle[1].Hear(circle[0].Say("soon gone", Attachment));
        circle.Clock.Advance(TimeSpan.FromSeconds(60));
        circle[1].Hear(circle[0].Say("later gone", Attachment));
        foreach (var peer in circle.Peers)
        {
            Assert.Single(Keys(peer, "media/"));
            Assert.NotNull(peer.Group.MediaSecretOf(peer.Group.Messages()[0].Rumor.Id));
        }

        circle.Clock.Advance(TimeSpan.FromSeconds(60));
        foreach (var peer in circle.Peers)
        {
            peer.Tick();
            Assert.Equal(["later gone"], peer.Shown);
            Assert.Single(Keys(peer, "m/"));
            Assert.Single(Keys(peer, "media/"));
        }

        circle.Clock.Advance(TimeSpan.FromSeconds(60));
        foreach (var peer in circle.Peers)
        {
            peer.Restart();
            peer.Tick();
            Assert.Empty(peer.Shown);
            Assert.Empty(Keys(peer, "m/"));
            Assert.Empty(Keys(peer, "media/"));
        }
    }

    [Fact]
    public void A_change_of_the_timer_does_not_touch_messages_sent_before()
    {
        using var circle = new Circle(2);
        circle[1].Hear(circle[0].Say("stays"));
        circle[1].Hear(circle[0].Change(new AdoptedChange { RetentionSeconds = 10 }));
        circle.Settle();
        circle[1].Hear(circle[0].Say("goes"));
        circle.Clock.Advance(TimeSpan.FromSeconds(20));
        circle[1].Tick();
        Assert.Equal(["stays"], circle[1].Shown);
    }

    [Fact]
    public void A_message_that_is_due_when_it_comes_is_never_shown()
    {
        using var circle = new Circle(2, founding: new AdoptedFounding { Name = "g", Relays = ["wss://relay.example"], RetentionSeconds = 100 });
        var late = circle[0].Say("too late");
        circle.Clock.Advance(TimeSpan.FromSeconds(101));
        circle[1].Hear(late);
        Assert.Empty(circle[1].Shown);
        Assert.Empty(Keys(circle[1], "m/"));
    }

    [Fact]
    public void Thirty_epochs_in_one_sync_are_read_whole_in_any_order()
    {
        using var circle = new Circle(3, admins: 2);
        var events = new List<NostrEvent>();
        for (int i = 0; i < 30; i++)
        {
            events.Add(circle[0].Say($"message {i:D2}"));
            events.Add(i % 2 == 0 ? circle[0].Rename($"name {i}") : circle[0].SelfUpdate());
        }

        var shuffled = events.ToArray();
        new Random(7).Shuffle(shuffled);
        circle[1].CatchUp(shuffled);
        circle[2].CatchUp(events);
        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal(30, circle[1].Shown.Count());
        Assert.True(circle[1].Group.States.Count <= 6, "only the window is kept");
    }

    [Fact]
    public void Hundreds_of_messages_of_one_second_are_all_read_in_whatever_order_they_come()
    {
        using var circle = new Circle(2);
        NostrEvent[] events = [.. Enumerable.Range(0, 400).Select(i => circle[0].Say($"{i:D3}"))];
        new Random(3).Shuffle(events);
        circle[1].CatchUp(events);
        Assert.Equal(400, circle[1].Shown.Count());
    }

    [Fact]
    public void Events_that_no_key_opens_are_bounded_and_the_caller_learns_that_more_must_be_asked_again()
    {
        using var circle = new Circle(2);
        var routing = circle[1].Group.RoutingIds[0];
        byte[] key = new byte[32];
        NostrEvent[] strangers = [.. Enumerable.Range(0, 300).Select(_ => AdoptedGroupEvent.CreateHandshake(key, routing, [1, 2, 3], 1_800_000_000))];
        circle[1].CatchUp(strangers);
        Assert.True(circle[1].Group.HasOverflow);
        Assert.Equal(256, Keys(circle[1], "deferred/").Count);
        circle[1].Restart();
        circle[1].Hear(circle[0].Say("still read"));
        Assert.Equal(["still read"], circle[1].Shown);
    }

    [Fact]
    public void An_event_that_no_key_opens_is_given_up_after_thirty_days()
    {
        using var circle = new Circle(2);
        circle[1].Hear(AdoptedGroupEvent.CreateHandshake(new byte[32], circle[1].Group.RoutingIds[0], [1, 2, 3], 1_800_000_000));
        Assert.Single(Keys(circle[1], "deferred/"));
        circle.Clock.Advance(TimeSpan.FromDays(31));
        circle[1].Restart();
        circle[1].Hear(circle[0].Say("a month later"));
        Assert.Empty(Keys(circle[1], "deferred/"));
    }

    [Fact]
    public void A_store_that_was_put_back_seals_nothing_before_an_own_commit_begins_a_fresh_state()
    {
        using var circle = new Circle(2);
        circle[0].Hear(circle[1].Say("before"));
        var batch = new StoreBatch();
        batch.Put(ClientStore.CopyKey, [1]);
        circle[1].Store.Commit(batch);
        PutBackCopy.Heed(circle[1].Store);
        circle[1].Restart();
        Assert.True(circle[1].Group.NeedsFreshKeys);
        Assert.Throws<ClientException>(() => circle[1].Say("with old ratchets"));

        // A state that somebody else begins is one this client may have been in before.
        circle[1].Hear(circle[0].Rename("by another"));
        circle.Settle();
        Assert.Throws<ClientException>(() => circle[1].Say("with ratchets perhaps used"));
        circle[0].Hear(circle[1].SelfUpdate());
        circle.Settle();
        circle[0].Hear(circle[1].Say("with fresh ones"));
        circle.AssertAgreed();
    }

    [Fact]
    public void Who_lacks_what_the_group_requires_is_refused_by_name()
    {
        var founding = new AdoptedFounding { Name = "g", Relays = ["wss://relay.example"], MediaServers = ["https://blossom.example/"] };
        using var circle = new Circle(1, founding: founding);
        using var key = SecretKey.Generate();
        using var package = PackageWithout(key, ComponentType.MediaPolicy, circle.Clock.GetUtcNow());
        var refusal = Assert.Throws<ClientException>(() => circle[0].Group.StageChange(
            new AdoptedChange { Add = [new AdoptedInvitee(key.PublicKey, package.KeyPackage.ToBytes(), default)] }));
        Assert.Contains("component 0x800b", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_sends_while_the_group_is_decided_about_or_after_asking_to_leave()
    {
        using var circle = new Circle(3);
        circle[1].Hear(circle[0].Rename("a pass opens"));
        Assert.False(circle[1].Group.IsQuiet);
        Assert.Throws<ClientException>(() => circle[1].Say("too early"));
        circle.Settle();
        circle[1].Say("now");
        circle[1].Leave();
        Assert.Throws<ClientException>(() => circle[1].Say("on the way out"));
        Assert.Throws<ClientException>(() => circle[0].Leave()); // an admin steps down first
    }

    [Fact]
    public void While_an_own_commit_waits_for_its_answer_what_comes_is_kept_and_decided_about_afterwards()
    {
        using var circle = new Circle(3, admins: 2);
        var mine = circle[1].Group.StageChange(new AdoptedChange { Name = "mine" })!;
        var theirs = circle[0].Rename("theirs");
        circle[1].Hear(theirs);
        circle.Settle();
        Assert.Equal("circle", circle[1].Group.State.Profile.Name);
        circle[1].Confirm();
        Assert.Equal("mine", circle[1].Group.State.Profile.Name);
        circle[0].Hear(mine);
        circle[2].Hear(mine, theirs);
        circle.Settle();
        circle.AssertAgreed();
        Assert.Equal("theirs", circle[1].Group.State.Profile.Name);
        Assert.Contains(circle[1].Incidents, incident => incident.Outcome == GroupOutcome.LostRace);
    }

    [Fact]
    public void States_of_a_removal_are_wiped_after_a_day()
    {
        using var circle = new Circle(2);
        circle[1].Hear(circle[0].Change(new AdoptedChange { Remove = [circle[1].Account] }));
        circle.Settle();
        Assert.False(circle[1].Group.IsActive);
        Assert.Contains(circle[1].Group.States.Values, entry => entry.Bytes > 0);
        circle.Clock.Advance(TimeSpan.FromHours(25));
        circle[1].Tick();
        circle[1].Restart();
        Assert.DoesNotContain(circle[1].Group.States.Values, entry => entry.Bytes > 0);
        Assert.Empty(Keys(circle[1], "state/"));
        Assert.False(circle[1].Group.IsActive);
    }

    private static List<string> Keys(Peer peer, string room) => [.. peer.Store.Scan(AdoptedGroup.PrefixOf(peer.Group.GroupId) + room).Select(pair => pair.Key)];

    private static KeyPackageSecrets PackageWithout(SecretKey account, ushort component, DateTimeOffset now)
    {
        var suite = CipherSuite.X25519Aes128Ed25519;
        var signature = suite.GenerateSignatureKeyPair();
        var dictionary = AppDataDictionary.Empty
            .With(ComponentId.AppComponents, ComponentsList.Of(AdoptedLeaf.Components.Where(id => id != component)).ToBytes())
            .With(ComponentId.SafeAad, ComponentsList.Of().ToBytes())
            .With(ComponentType.AccountIdentityProof, AccountIdentityProof.Create(account, signature.PublicKey, now.ToUnixTimeSeconds()).ToBytes());
        ulong start = (ulong)now.ToUnixTimeSeconds() - 10;
        return KeyPackageSecrets.Create(
            suite, signature, Credential.Basic(account.PublicKey.Span), AdoptedLeaf.Capabilities(), new Lifetime(start, start + 1000),
            [AppDataDictionary.Empty.With(ComponentId.LastResortKeyPackage, []).ToExtension()], [dictionary.ToExtension()]);
    }
}
