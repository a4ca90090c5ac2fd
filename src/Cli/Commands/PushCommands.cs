using System.Text.Json.Nodes;
using Marmot.Cli.Agent;
using Marmot.Client;
using Marmot.Protocol.Push;

namespace Marmot.Cli.Commands;

/// <summary><c>push register|off|ring</c>.</summary>
internal static class PushCommands
{
    public static async Task RunAsync(Context context, Arguments args)
    {
        string verb = args.Word("push register|off|ring");
        string group = context.Group(args.Word("the group"));
        switch (verb)
        {
            case "register":
                var registration = Read(args);
                args.End();
                await context.Client.SyncAsync(group);
                Say(context, await context.Client.RegisterPushAsync(group, registration));
                break;
            case "off":
                args.End();
                Say(context, await context.Client.UnregisterPushAsync(group));
                break;
            case "ring":
                args.End();
                var triggers = await context.Client.NotifyAsync(group);
                context.Say(AgentJson.Of(triggers), triggers.Count == 0 ? ["nobody else wants to be rung"] : triggers.Select(Context.Fate));
                break;
            default:
                throw new UsageException("push register|off|ring");
        }
    }

    private static PushRegistration Read(Arguments args)
    {
        DevicePlatform platform = args.Option("--platform") switch
        {
            "apns" => DevicePlatform.Apns,
            "fcm" => DevicePlatform.Fcm,
            _ => throw new UsageException("--platform apns|fcm"),
        };
        string file = args.Option("--token-file") ?? throw new UsageException("--token-file FILE is missing");
        string text = File.ReadAllText(file).Trim();
        byte[] token;
        try
        {
            token = platform == DevicePlatform.Apns ? Convert.FromHexString(text) : System.Text.Encoding.ASCII.GetBytes(text);
        }
        catch (FormatException)
        {
            throw new UsageException("an APNs token is hex");
        }

        return new PushRegistration(
            platform,
            token,
            Context.Key(args.Option("--server") ?? throw new UsageException("--server NPUB is missing")),
            args.Option("--relay") ?? throw new UsageException("--relay URL is missing: a relay the server listens on"),
            args.Option("--size") switch
            {
                null or "1084" => TokenDialect.Mip05Long,
                "280" => TokenDialect.Mip05Short,
                _ => throw new UsageException("--size 280|1084"),
            });
    }

    private static void Say(Context context, SentMessage sent) => context.Say(AgentJson.Of([sent.Published]), Context.Fate(sent.Published));
}
