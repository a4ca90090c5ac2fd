using System.Text.Json;
using Marmot.Client.Groups;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Messages;

namespace Marmot.Client.Tests.Adopted;

/// <summary>Every recorded message that MDK refuses, and those built alike that it takes. Nearly all of the refused ones are valid MLS.</summary>
[Trait("Spec", "Adopted profile")]
public sealed class RefusalTests
{
    /// <summary>Case and the reason in our words.</summary>
    private static readonly Dictionary<string, string> Reasons = new(StringComparer.Ordinal)
    {
        ["nonadmin-rename"] = "a commit that needs admin rights",
        ["nonadmin-promotes-self"] = "a commit that needs admin rights",
        ["nonadmin-remove"] = "a commit that needs admin rights",
        ["nonadmin-add"] = "a commit that needs admin rights",
        ["selfremove-and-rename-nonadmin"] = "a commit that needs admin rights",
        ["gce-touches-0006"] = "the dictionary is changed by GroupContextExtensions",
        ["gce-drops-0006"] = "the dictionary is changed by GroupContextExtensions",
        ["update-same-component-twice"] = "component 0x8001 is updated twice",
        ["update-and-remove-same-component"] = "a component is updated and removed, or removed where it has no data",
        ["remove-0001"] = "component 0x0001 can never be removed",
        ["remove-8003"] = "component 0x8003 can never be removed",
        ["remove-800c"] = "component 0x800c can never be removed",
        ["remove-required-8001"] = "the required component 0x8001 has no data",
        ["require-unsupported"] = "a leaf lacks what the group requires: component 0x9001",
        ["unrequire-8009"] = "the group does not require component 0x8009",
        ["unrequire-800c"] = "the lifecycle is no longer required",
        ["put-8009-in-group"] = "component 0x8009: the component is no state of a group",
        ["put-8008-in-group"] = "component 0x8008: the component is no state of a group",
        ["put-0002-in-group"] = "component 0x0002: the component is no state of a group",
        ["profile-trailing-byte"] = "component 0x8001: the group profile is malformed or too long",
        ["profile-name-257"] = "component 0x8001: the group profile is malformed or too long",
        ["retention-7-bytes"] = "component 0x8005: the retention is not eight bytes",
        ["lifecycle-02"] = "component 0x800c: the lifecycle is not 0 or 1",
        ["lifecycle-alone"] = "a group ends by a commit that removes everybody else, leaves the committer the only admin and does nothing more",
        ["routing-not-ascending"] = "component 0x8004: the routing is malformed, or its relays are none, too many, not ascending or no relay URLs",
        ["routing-no-relay"] = "component 0x8004: the routing is malformed, or its relays are none, too many, not ascending or no relay URLs",
        ["admin-list-empty"] = "component 0x8003: the admin list is malformed, empty or not ascending",
        ["admin-list-descending"] = "component 0x8003: the admin list is malformed, empty or not ascending",
        ["admin-without-leaf"] = "an admin would have no leaf",
        ["remove-admin-keeps-key"] = "an admin would have no leaf",
        ["path-other-identity"] = "a leaf changes its account",
        ["path-other-identity-own-proof"] = "a leaf changes its account",
        ["path-no-proof"] = "a leaf's account identity proof is missing or does not hold",
        ["path-bad-proof-signature"] = "a leaf's account identity proof is missing or does not hold",
        ["path-drops-required-support"] = "a leaf lacks what the group requires: component 0x8004",
        ["add-no-proof"] = "a leaf's account identity proof is missing or does not hold",
        ["add-proof-other-key"] = "a leaf's account identity proof is missing or does not hold",
        ["add-lacks-required-component"] = "a leaf lacks what the group requires: component 0x800b",
        ["proposal-remove-nonadmin"] = "a proposal that needs admin rights",
        ["proposal-update"] = "a proposal that needs admin rights",
        ["proposal-add-nonadmin"] = "a proposal that needs admin rights",
        ["proposal-selfremove-admin"] = "an admin leaves without stepping down",
        ["commit-as-private-message"] = "a commit as a private message",
        ["commit-app-ephemeral"] = "a proposal the profile does not have",
        ["inner-other-pubkey"] = "the inner event names another author",
        ["inner-wrong-id"] = "the inner event: id is not the hash of the event",
        ["inner-with-sig"] = "the inner event is not exactly id, pubkey, created_at, kind, tags and content",
        ["inner-uppercase-pubkey"] = "the inner event: pubkey is not 64 lower-case hex digits",
        ["inner-not-json"] = "the plaintext is no JSON",
        ["outer-extra-tag"] = "a tag that the profile does not have",
        ["outer-two-h"] = "more than one h tag",
        ["outer-h-uppercase"] = "the h tag is not 64 lower-case hex digits",
        ["outer-h-three-elements"] = "a tag that the profile does not have",
        ["outer-expiration-text"] = "the expiration is no number",
        ["outer-encoding-tag"] = "a tag that the profile does not have",
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            var cases = new TheoryData<string, string>();
            foreach (string file in (string[])["refused-commits", "refused-leaves", "refused-other", "accepted-controls"])
            {
                foreach (var one in RecordedLife.Read(file).File.GetProperty("cases").EnumerateArray())
                {
                    cases.Add(file, one.Text("id"));
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_recorded_case_has_the_recorded_verdict(string file, string id)
    {
        var life = RecordedLife.Read(file);
        var one = life.File.GetProperty("cases").EnumerateArray().Single(one => one.Text("id") == id);
        using var erin = life.Receive("erin");
        for (int number = 0; number < life.Steps.Count; number++)
        {
            if (life.Text(number, "step") == "message")
            {
                erin.Give(number);
            }
        }

        foreach (var before in one.TryGetProperty("before_it", out var earlier) ? earlier.EnumerateArray() : [])
        {
            erin.Give(before.GetInt32());
        }

        erin.Settle();
        string stateBefore = erin.Label;
        int pendingBefore = erin.Group.Mls.PendingProposals.Count;
        int shownBefore = erin.Group.Messages().Count;
        erin.Incidents.Clear();

        erin.Give(one.Event("event"));
        erin.Settle();

        string? verdict = one.TryGetProperty("verdict", out var given) && given.ValueKind == JsonValueKind.String ? given.GetString() : null;
        if (verdict is null)
        {
            verdict = id == "outer-ok" ? "accepted" : "refused";
        }

        var incident = erin.Incidents[0];
        switch (verdict)
        {
            case "refused":
                Assert.Equal(GroupOutcome.Refused, incident.Outcome);
                Assert.Equal(Reasons[id], incident.Reason);
                Assert.Equal(stateBefore, erin.Label);
                Assert.Equal(pendingBefore, erin.Group.Mls.PendingProposals.Count);
                Assert.Equal(shownBefore, erin.Group.Messages().Count);
                break;
            case "kept as a pending proposal":
                Assert.Equal(GroupOutcome.Proposal, incident.Outcome);
                Assert.Equal(pendingBefore + 1, erin.Group.Mls.PendingProposals.Count);
                Assert.Equal(stateBefore, erin.Label);
                break;
            default:
                Assert.Equal("accepted", verdict);
                if (one.TryGetProperty("after", out var after) && after.ValueKind == JsonValueKind.String)
                {
                    Assert.Equal(after.GetString(), erin.Label);
                    Assert.Equal(GroupOutcome.Commit, incident.Outcome);
                }
                else
                {
                    Assert.Equal(GroupOutcome.Message, incident.Outcome);
                    Assert.Equal(shownBefore + 1, erin.Group.Messages().Count);
                }

                break;
        }
    }

    [Theory]
    [InlineData("welcome-ok", null)]
    [InlineData("welcome-inviter-no-admin", "the Welcome was not made by an admin of the group")]
    [InlineData("welcome-seal-other-admin", "the Welcome was sealed by somebody else than the admin who made it")]
    [InlineData("welcome-seal-member", "the Welcome was sealed by somebody else than the admin who made it")]
    [InlineData("welcome-unknown-required", "the group requires component 0x9001, which this client does not know")]
    public void A_recorded_welcome_is_followed_only_when_its_maker_is_an_admin_and_sealed_it(string id, string? reason)
    {
        var file = RecordedLife.Read("refused-other").File;
        var welcome = file.GetProperty("welcomes").EnumerateArray().Single(one => one.Text("id") == id);
        var accounts = welcome.TryGetProperty("accounts", out var own) ? own : file.GetProperty("accounts");
        using var group = RecordedLife.Join(accounts.GetProperty(welcome.Text("to")), welcome.GetProperty("gift_wrap"), out string refusal);
        Assert.Equal(reason ?? string.Empty, refusal);
        Assert.Equal(reason is null, group is not null);
    }
}
