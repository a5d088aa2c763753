import{e as o}from"./chunk-2XNIARLI.js";window.tolkyn={sdk:o};
