using System.CommandLine;
using Marmot.Blossom;
using Marmot.Blossom.Commands;
using Marmot.Hosting;
using Marmot.Hosting.Lifetime;
using Marmot.Terminal;

var root = new RootCommand("the blob store");
root.RunsWithSettings(settings =>
{
    var builder = MarmotHost.CreateBuilder(settings);
    builder.AddBlossom();
    var app = builder.Build();
    app.MapBlossom();
    app.MapBlossomPage();
    return app.RunToEndAsync();
});
BlossomCommands.AddTo(root);
return await ConsoleProgram.RunAsync(root, args);
