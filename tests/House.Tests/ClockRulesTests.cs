using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>The system clock is set forwards and back while servers run: by people, by time servers, by hypervisors. So a reading of the date is only for what
/// leaves the machine or is stored with a date; whatever measures an interval uses timestamps (TimeProvider.GetTimestamp, Hosting's GetUptime) and
/// timers.</summary>
public partial class ClockRulesTests
{
    /// <summary>Who reads the date, and what for. A new line here needs a reason of the same kind: "for a timeout" is none.</summary>
    private static readonly Dictionary<string, string> Readers = new(StringComparer.Ordinal)
    {
        ["AllInOne/Doctor/DeploymentCheck.cs"] = "dates the events it publishes",
        ["Blossom/Auth/TokenGate.cs"] = "a token says by date when it ends",
        ["Blossom/Blobs/BlobReads.cs"] = "the day of a download is stored",
        ["Blossom/Blobs/BlobService.cs"] = "dates claims",
        ["Blossom/Commands/BlobsPage.cs"] = "ages of a search",
        ["Blossom/Commands/BlossomCommandLine.cs"] = "ages of a search",
        ["Blossom/Commands/StoreCommands.cs"] = "claims end by date; ages of a search",
        ["Blossom/Endpoints/BlobEndpoint.cs"] = "Cache-Control from the date a blob ends",
        ["Blossom/Endpoints/DownloadShortcut.cs"] = "Date of the answer",
        ["Blossom/Endpoints/UploadEndpoint.cs"] = "an expiration asked for is a date",
        ["Blossom/Index/ClaimTable.cs"] = "claims begin and end by date",
        ["Blossom/Index/Postgres/PostgresBlobIndex.cs"] = "claims begin and end by date",
        ["Blossom/Policies/UploadPolicy.cs"] = "retention gives a claim the date of its end",
        ["Blossom/Storage/DiskBlobStore.cs"] = "file time by the day",
        ["Blossom/Storage/S3/BlobBucket.cs"] = "a presigned address ends by date",
        ["Blossom/Storage/S3/S3BlobStore.cs"] = "S3 dates objects and uploads",
        ["Cli/Agent/AgentSession.cs"] = "key packages end by date; lines of the log are dated",
        ["Client/Accounts/Account.cs"] = "dates events",
        ["Client/Accounts/ClockWatch.cs"] = "compares dates with timestamps, to notice that the clock was set",
        ["Client/Adopted/AdoptedChanges.cs"] = "key packages are valid between dates",
        ["Client/Adopted/AdoptedGroup.Send.cs"] = "leaves are valid between dates",
        ["Client/Adopted/AdoptedGroup.cs"] = "dates commits; messages under retention are due by date",
        ["Client/Adopted/AdoptedGroups.cs"] = "leaves are valid between dates",
        ["Client/Adopted/AdoptedPush.cs"] = "entries of the gossip are dated",
        ["Client/Convergence/ConvergencePass.cs"] = "stores when a pass began, for a restart",
        ["Client/Groups/EventDates.cs"] = "dates own events; since of a filter",
        ["Client/Groups/GroupChanges.cs"] = "leaves are valid between dates",
        ["Client/Groups/GroupSession.Commits.cs"] = "leaves are valid between dates",
        ["Client/Groups/GroupSession.cs"] = "dates messages",
        ["Client/KeyPackages/KeyPackageFinder.cs"] = "key packages are valid between dates",
        ["Client/KeyPackages/KeyPackagePublisher.cs"] = "key packages are valid between dates",
        ["Client/MarmotClient.Adopted.cs"] = "key packages are valid between dates",
        ["Client/Media/BlossomClient.cs"] = "dates the token of a request",
        ["Client/Storage/StoreMark.cs"] = "compares with the dates of the file system",
        ["Hosting/Deletion/DeletionDate.cs"] = "compares the date with timestamps, so that nothing is deleted by a jump of the clock",
        ["Hosting/ConsolePages/ConsoleServer.cs"] = "judges the date of NIP-98 tokens",
        ["Hosting/ConsolePages/ConsoleSessions.cs"] = "a one-time code is stored with the date of its end",
        ["Hosting/ConsolePages/OverviewPage.cs"] = "dates the start and the last errors, for people",
        ["Hosting/Moderating/Decisions.cs"] = "dates the audit trail",
        ["Hosting/MonotonicTime.cs"] = "names the method that it replaces",
        ["NotifyServer/Doctor/NotifyDoctor.cs"] = "compares the date with the providers'",
        ["NotifyServer/Doctor/RelayDoctor.cs"] = "since of a filter",
        ["NotifyServer/Inbox/Canaries.cs"] = "dates our own triggers",
        ["NotifyServer/Inbox/InboxRelay.cs"] = "since of a filter; dates the inbox list",
        ["NotifyServer/NotifyMetrics.cs"] = "start of the process as a metric",
        ["NotifyServer/Providers/ApnsJwt.cs"] = "iat of the token; a step of the clock is noticed by comparing",
        ["NotifyServer/Providers/ApnsProvider.cs"] = "apns-expiration; Retry-After may be a date",
        ["NotifyServer/Providers/FcmProvider.cs"] = "Retry-After may be a date",
        ["NotifyServer/Providers/OAuthTokens.cs"] = "iat and exp of the assertion; Retry-After may be a date",
        ["NotifyServer/TestTrigger.cs"] = "dates the trigger",
        ["Protocol/GiftWraps/GiftWrap.cs"] = "dates wraps",
        ["Protocol/RelayClient/RelaySession.cs"] = "dates the answer to a challenge",
        ["ProviderSimulators/ApnsProviderTokens.cs"] = "judges iat as Apple does; its fake clock moves everything",
        ["ProviderSimulators/ApnsSimulator.cs"] = "dates records and 410 answers",
        ["ProviderSimulators/FcmSimulator.cs"] = "dates records",
        ["ProviderSimulators/FcmTokenEndpoint.cs"] = "judges iat and exp as Google does; its fake clock moves everything",
        ["ProviderSimulators/SimulatorAuthority.cs"] = "dates certificates",
        ["Relay/Connections/ConnectionSet.cs"] = "what has ended by date does not count",
        ["Relay/Ingest/Admission.cs"] = "what has ended by date does not count",
        ["Relay/Replies/Authentication.cs"] = "judges the date of an answer to the challenge",
        ["Relay/Ingest/WritePolicy.cs"] = "judges the date of an event",
        ["Relay/Ingest/WritePolicyProgram.cs"] = "tells the program the date of arrival",
        ["Relay/Management/ManagementEndpoint.cs"] = "judges the date of NIP-98 tokens",
        ["Relay/Operator/EventListing.cs"] = "what has ended by date is not listed",
        ["Relay/Operator/EventsPage.cs"] = "ages of a search",
        ["Relay/Operator/ImportRules.cs"] = "judges the dates of an event",
        ["Relay/Operator/RelaySync.cs"] = "until of a filter; what has ended by date",
        ["Relay/Operator/StoreCommands.cs"] = "what has ended by date is not exported",
        ["Relay/Operator/StoreSurvey.cs"] = "ages of stored events; dates the count",
        ["Relay/Queries/Requests.cs"] = "what has ended by date is not served",
        ["Relay/Queries/Syncs.cs"] = "what has ended by date is not served",
        ["Relay/Storage/StoreEntrance.cs"] = "judges the date of an event",
    };

    /// <summary>Sums and differences of dates. Each compares with a date that was stored or came from elsewhere, and says what a wrong one costs.</summary>
    private static readonly Dictionary<string, string> Arithmetic = new(StringComparer.Ordinal)
    {
        ["Blossom/Storage/S3/BlobBucket.cs"] = "end of a presigned address",
        ["Blossom/Storage/S3/S3BlobStore.cs"] = "S3's date of an upload in parts: a day, which no running upload lasts",
        ["NotifyServer/Doctor/NotifyDoctor.cs"] = "the providers' date, to warn of a wrong clock",
        ["NotifyServer/Providers/ApnsJwt.cs"] = "the clock was set since the token was made; another replica's date, clamped",
        ["NotifyServer/Providers/ApnsProvider.cs"] = "the date sent to Apple from the time left",
        ["ProviderSimulators/FcmTokenEndpoint.cs"] = "its fake clock moves everything",
    };

    /// <summary>Tests whose clocks are there for dates alone: code without intervals, or a simulator whose fake clock moves everything, or whole
    /// processes.</summary>
    private static readonly Dictionary<string, string> DatesOnly = new(StringComparer.Ordinal)
    {
        ["House.Tests"] = "names clocks as text",
        ["Interop"] = "starts processes",
        ["Protocol.Tests"] = "dates of gift wraps",
        ["ProviderSimulators.Tests"] = "Apple's and Google's own clocks",
        ["Scenarios"] = "starts processes; its clients use the date for what they send",
        ["TestKit"] = "the clocks themselves",
    };

    [Fact]
    public void The_date_is_read_only_for_what_leaves_the_machine_or_is_stored_with_a_date()
    {
        var offenders = Sources().Where(file => Date().IsMatch(file.Code) && !Readers.ContainsKey(file.Name))
            .Select(file => file.Name + ": measure intervals by GetTimestamp or GetUptime, or say here what the date is for");
        Assert.Empty(offenders);
    }

    [Fact]
    public void Nothing_is_measured_by_the_difference_of_two_dates()
    {
        var offenders = Sources().Where(file => file.Code.Split('\n').Any(DateArithmetic().IsMatch) && !Arithmetic.ContainsKey(file.Name))
            .Select(file => file.Name + ": an interval between two readings of the date");
        Assert.Empty(offenders);
    }

    [Fact]
    public void Mls_knows_no_clock_at_all() =>
        Assert.Empty(Sources().Where(file => file.Name.StartsWith("Mls/", StringComparison.Ordinal) && Clock().IsMatch(file.Code)).Select(file => file.Name));

    [Fact]
    public void Every_room_whose_tests_have_a_clock_is_tested_on_one_that_steps_by_hours_too()
    {
        var rooms = SecondRun().Match(File.ReadAllText(Path.Combine(Repository.Root, "test"))).Groups[1].Value.Split(' ');
        var withClocks = Tests().Where(file => RunsClock().IsMatch(file.Code)).Select(file => file.Name.Split('/')[0]).Except(DatesOnly.Keys);
        Assert.Equal(withClocks.Distinct().Order(StringComparer.Ordinal), rooms.Select(room => room + ".Tests").Order(StringComparer.Ordinal));
    }

    [Fact]
    public void No_test_of_those_rooms_gives_a_server_or_a_client_the_clock_of_the_system()
    {
        var offenders = Tests().Where(file => !DatesOnly.ContainsKey(file.Name.Split('/')[0]))
            .SelectMany(file => file.Code.Split('\n').Where(line => FixedClock().IsMatch(line) && !DatesMessage().IsMatch(line))
                .Select(line => $"{file.Name}: Clock.Running() or Clock.Seen(...) instead: {line.Trim()}"));
        Assert.Empty(offenders);
    }

    [Theory]
    [InlineData("var limits = new RelayBudgets(TimeProvider.System, options);", true)]
    [InlineData("services.AddSingleton<TimeProvider>(clock);", true)]
    [InlineData("private readonly FakeTimeProvider _time = new(Start);", true)]
    [InlineData("await relay.SendAsync(GiftWrap.Create(rumor, author, key, TimeProvider.System));", false)]
    [InlineData("var limits = new RelayBudgets(Clock.Running(), options);", false)]
    public void The_rule_for_tests_sees_what_it_is_for(string line, bool refused) =>
        Assert.Equal(refused, FixedClock().IsMatch(line) && !DatesMessage().IsMatch(line));

    [Theory]
    [InlineData("var now = _time.GetUtcNow();", true, false)]
    [InlineData("if (time.GetUtcNow() - started > limit)", true, true)]
    [InlineData("var left = _until - DateTimeOffset.UtcNow;", true, true)]
    [InlineData("_until = time.GetUtcNow() + pause;", true, true)]
    [InlineData("long Now => time.GetUtcNow().ToUnixTimeSeconds();", true, false)]
    [InlineData("var passed = time.GetElapsedTime(started);", false, false)]
    public void The_rules_see_what_they_are_for(string line, bool date, bool arithmetic)
    {
        Assert.Equal(date, Date().IsMatch(line));
        Assert.Equal(arithmetic, DateArithmetic().IsMatch(line));
    }

    private static IEnumerable<(string Name, string Code)> Sources() => Below("src");

    private static IEnumerable<(string Name, string Code)> Tests() => Below("tests");

    private static IEnumerable<(string Name, string Code)> Below(string folder)
    {
        var src = Path.Combine(Repository.Root, folder);
        return Repository.Files("*.cs").Where(file => file.StartsWith(src + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            .Select(file => (Path.GetRelativePath(src, file).Replace('\\', '/'), File.ReadAllText(file)));
    }

    [GeneratedRegex(@"\bGetUtcNow\b|\bGetLocalNow\b|\b(DateTime|DateTimeOffset)\.(UtcNow|Now|Today)\b")]
    private static partial Regex Date();

    // The arrow of an expression body and of a lambda is no comparison.
    [GeneratedRegex(@"(GetUtcNow\(\)|\.UtcNow)\s*[-+<>]|(?<!=)[-+<>]=?\s*\(?[A-Za-z_.]*(GetUtcNow\(\)|\bUtcNow)(?!\s*\.To)")]
    private static partial Regex DateArithmetic();

    [GeneratedRegex(@"for room in ([A-Za-z ]+); do")]
    private static partial Regex SecondRun();

    [GeneratedRegex(@"\bClock\.(Running|Seen|Standing|Steps)\b|\bManualClock\b")]
    private static partial Regex RunsClock();

    [GeneratedRegex(@"TimeProvider\.System\b|new FakeTimeProvider\(|FakeTimeProvider \w+ = new|AddSingleton<TimeProvider>\(")]
    private static partial Regex FixedClock();

    // Who sends something has the true date; and a test may say that its subject is a date.
    [GeneratedRegex(@"(TestTrigger|GiftWrap)\.Create\(|// the (date is compared|sender's date)")]
    private static partial Regex DatesMessage();

    [GeneratedRegex(@"\bTimeProvider\b|\bUtcNow\b|\bStopwatch\b|\bTickCount64?\b")]
    private static partial Regex Clock();
}
