using System.CommandLine;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Push;
using Marmot.Terminal;

namespace Marmot.Cli.Commands;

/// <summary><c>push register|off|ring</c>.</summary>
internal static class PushCommands
{
    public static Command CreateCommand()
    {
        var group = Define.Word("GROUP", "the group");
        var platform = Define.Choice("--platform", "whose token it is", "apns", "fcm");
        var tokenFile = Define.Text("--token-file", "FILE", "holds the device's token: hex for APNs, text for FCM");
        var server = Define.Parsed<Bytes32>("--server", "NPUB", "the push server's key", Context.ReadKey);
        var relay = Define.Text("--relay", "URL", "a relay the server listens on");
        var size = Define.Choice("--size", "bytes of an encrypted token", "1084", "280");
        platform.DefaultValueFactory = null;
        foreach (var needed in (Option[])[platform, tokenFile, server, relay])
        {
            needed.Required = true;
        }

        return new Command("push", "be rung through a push server")
        {
            new Command("register", "tell the group how to ring this device") { group, platform, tokenFile, server, relay, size }
                .RunsWithAccount(async (context, words) =>
            {
                string id = context.Group(words.GetRequiredValue(group));
                var device = words.GetValue(platform) == "apns" ? DevicePlatform.Apns : DevicePlatform.Fcm;
                var dialect = words.GetValue(size) == "280" ? TokenDialect.Mip05Short : TokenDialect.Mip05Long;
                var registration = new PushRegistration(device, ReadToken(device, words.GetRequiredValue(tokenFile)!), words.GetValue(server),
                    words.GetRequiredValue(relay)!, dialect);
                await context.Client.SyncAsync(id);
                Say(context, await context.Client.RegisterPushAsync(id, registration));
            }),
            new Command("off", "be rung no more") { group }.RunsWithAccount(async (context, words) =>
                Say(context, await context.Client.UnregisterPushAsync(context.Group(words.GetRequiredValue(group))))),
            new Command("ring", "ring the others") { group }.RunsWithAccount(async (context, words) =>
            {
                var triggers = await context.Client.NotifyAsync(context.Group(words.GetRequiredValue(group)));
                context.Say(AgentJson.Of(triggers), triggers.Count == 0 ? ["nobody else wants to be rung"] : triggers.Select(Context.Fate));
            }),
        };
    }

    private static byte[] ReadToken(DevicePlatform platform, string file)
    {
        string text = File.ReadAllText(file).Trim();
        try
        {
            return platform == DevicePlatform.Apns ? Convert.FromHexString(text) : System.Text.Encoding.ASCII.GetBytes(text);
        }
        catch (FormatException)
        {
            throw new UsageException("an APNs token is hex");
        }
    }

    private static void Say(Context context, SentMessage sent) => context.Say(AgentJson.Of([sent.Published]), Context.Fate(sent.Published));
}
